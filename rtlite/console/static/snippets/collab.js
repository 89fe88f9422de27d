import * as Y from "yjs"; // npm install yjs y-websocket
import { WebsocketProvider } from "y-websocket";

const doc = new Y.Doc();
const provider = new WebsocketProvider("ws://127.0.0.1:8000/collab", "notes", doc, {
  params: { token: "pk_live_dev" },
});
provider.on("status", ({ status }) => console.log(status));

const text = doc.getText("content");
text.observe(() => console.log(String(text))); // bind it to an editor: y-codemirror.next, y-prosemirror, y-quill, …
