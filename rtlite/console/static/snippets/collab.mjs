import WebSocket from "ws"; // npm install yjs y-websocket ws
import { WebsocketProvider } from "y-websocket";
import * as Y from "yjs";

const doc = new Y.Doc();
const provider = new WebsocketProvider("ws://127.0.0.1:8000/collab", "notes", doc, {
  params: { token: "pk_live_dev" },
  WebSocketPolyfill: WebSocket,
});
provider.on("status", ({ status }) => console.log(status));

const text = doc.getText("content");
text.observe(() => console.log(String(text)));
