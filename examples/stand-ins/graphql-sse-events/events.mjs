import WebSocket from "ws";

const getCollabToken = async () => process.env.TOKEN;

const token = await getCollabToken(); // or customer JWT, or API key via ?apiKey=
const ws = new WebSocket(`ws://127.0.0.1:8000/_events?token=${token}`);

ws.onopen = () => {
  // Subscribe to channels
  ws.send(JSON.stringify({ type: "subscribe", channel: "notifications:dev" }));
  ws.send(JSON.stringify({ type: "subscribe", channel: "changes:product" }));
};

ws.onmessage = (event) => {
  const data = JSON.parse(event.data);
  console.log(`[${data.channel}] ${data.event}:`, data.data);
};
