const token = "mbk_your_api_key";
const ws = new WebSocket(`wss://api.misar.io/blog/ws/notifications?token=${token}`);

ws.onopen = () => console.log("Connected");

ws.onmessage = (event) => {
  const data = JSON.parse(event.data);
  console.log("Event:", data);
};

ws.onclose = (event) => {
  console.log("Disconnected:", event.code, event.reason);
};

ws.onerror = (err) => console.error("WebSocket error:", err);
