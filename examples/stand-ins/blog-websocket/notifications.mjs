import WebSocket from "ws";

const ws = new WebSocket("ws://127.0.0.1:8000/blog/ws/notifications", {
  headers: { Authorization: "Bearer mbk_dev" },
});

ws.onopen = () => console.log("Connected");

ws.onmessage = (event) => {
  const data = JSON.parse(event.data);
  console.log("Event:", data);
};

ws.onclose = (event) => {
  console.log("Disconnected:", event.code, event.reason);
};

ws.onerror = (err) => console.error("WebSocket error:", err);
