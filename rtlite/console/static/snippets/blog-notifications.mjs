import WebSocket from "ws"; // npm install ws

const ws = new WebSocket("ws://127.0.0.1:8000/blog/ws/notifications", {
  headers: { Authorization: "Bearer mbk_dev" },
});

ws.on("open", () => console.log("Connected"));
ws.on("message", (text) => console.log("Event:", JSON.parse(text)));
ws.on("close", (code, reason) => console.log("Disconnected:", code, String(reason)));
ws.on("error", console.error);
