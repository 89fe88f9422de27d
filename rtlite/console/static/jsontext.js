// Where a text that should be JSON goes wrong. JSON.parse says it differently in every browser, and often not at all.

const SPACE = /[ \t\n\r]*/y;
const TEXT = /"(?:[^"\\\u0000-\u001f]|\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4}))*"/y;
const NUMBER = /-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?/y;
const WORD = /(?:true|false|null)\b/y;

/** What is wrong: `at` is the place in the text, and the message names its line and column. */
export class JsonError extends Error {
  constructor(text, at, wanted) {
    const before = text.slice(0, at).split("\n");
    const found = at >= text.length ? "the end" : JSON.stringify([...text.slice(at, at + 2)][0]);
    super(`Line ${before.length}, column ${before.at(-1).length + 1}: ${wanted} is wanted, not ${found}`);
    this.at = at;
  }
}

/** The value of a JSON text. Throws a JsonError. */
export function parse(text) {
  let at = 0;

  function skip(pattern) {
    pattern.lastIndex = at;
    if (!pattern.test(text)) return false;
    at = pattern.lastIndex;
    return true;
  }

  function need(found, wanted) {
    if (!found) throw new JsonError(text, at, wanted);
  }

  function sign(character) {
    skip(SPACE);
    if (text[at] !== character) return false;
    at++;
    return true;
  }

  function list(end, item) {
    if (sign(end)) return;
    do item();
    while (sign(","));
    need(sign(end), `a comma or ${end}`);
  }

  function member() {
    skip(SPACE);
    need(skip(TEXT), "a name in double quotes");
    need(sign(":"), "a colon");
    value();
  }

  function value() {
    if (sign("{")) list("}", member);
    else if (sign("[")) list("]", value);
    else need(skip(TEXT) || skip(NUMBER) || skip(WORD), "a value (text in double quotes, number, object, list)");
  }

  value();
  skip(SPACE);
  need(at === text.length, "the end");
  return JSON.parse(text);
}
