import WebSocket from "ws"; // npm install ws

const ws = new WebSocket("ws://127.0.0.1:8000/_events?apiKey=pk_live_dev");

ws.on("open", () => ws.send(JSON.stringify({ type: "subscribe", channel: "changes:product" })));
ws.on("message", (text) => {
  const data = JSON.parse(text);
  console.log(`[${data.channel}] ${data.event}:`, data.data);
});
ws.on("close", (code, reason) => console.log("closed:", code, String(reason)));
ws.on("error", console.error);
