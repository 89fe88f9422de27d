// What @asyncapi/parser says of the document whose path is given: its diagnostics, as JSON.
const { Parser, fromFile } = require("@asyncapi/parser");

fromFile(new Parser(), process.argv[2])
  .parse()
  .then(({ document, diagnostics }) =>
    console.log(JSON.stringify({ channels: document ? document.channels().all().map((each) => each.id()) : null, diagnostics })),
  );
