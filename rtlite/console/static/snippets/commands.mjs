import WebSocket from "ws"; // npm install ws

const ws = new WebSocket("ws://127.0.0.1:8000/ws?token=YOUR_TOKEN");
const send = (type, data) => ws.send(JSON.stringify({ type, data }));

ws.on("open", () => {
  send("subscribe", { channel: "conversation:conv-123" });
  send("ping", {});
});
ws.on("message", (text) => {
  const { type, data } = JSON.parse(text);
  console.log(type, data);
});
ws.on("close", (code, reason) => console.log("closed:", code, String(reason)));
ws.on("error", console.error);
