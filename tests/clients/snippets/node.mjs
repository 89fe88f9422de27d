import WebSocket from "ws";

const ws = new WebSocket("wss://api.misar.io/blog/ws/notifications", {
  headers: { Authorization: "Bearer mbk_your_api_key" },
});
