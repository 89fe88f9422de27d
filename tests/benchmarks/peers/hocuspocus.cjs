// @hocuspocus/server as its documentation begins: no extension, so it keeps documents in memory alone.
const { Server } = require('@hocuspocus/server');

const server = new Server({ address: '127.0.0.1', port: 0, quiet: true });
server.listen().then(() => console.log(`ready on http://127.0.0.1:${server.address.port}`));
