// What yjs.js is bundled from; LICENSES.txt has the command.
export { Doc } from "yjs";
export { WebsocketProvider } from "y-websocket";
