const token = await getCollabToken(); // or customer JWT, or API key via ?apiKey=
const ws = new WebSocket(`wss://realtime.foir.io/_events?token=${token}`);

ws.onopen = () => {
  // Subscribe to channels
  ws.send(JSON.stringify({ type: "subscribe", channel: "notifications:usr_abc123" }));
  ws.send(JSON.stringify({ type: "subscribe", channel: "changes:product" }));
};

ws.onmessage = (event) => {
  const data = JSON.parse(event.data);
  console.log(`[${data.channel}] ${data.event}:`, data.data);
};
