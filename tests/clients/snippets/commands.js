// Not from the reference, which shows no program: one that does what its sections say, reconnecting included.
function connect(position) {
  const resume = position ? `&since=${position}` : "";
  const ws = new WebSocket(`wss://realtime.foir.io/ws?token=${token}${resume}`);
  let last = position;

  ws.onopen = () => {
    attempt = 0;
    ws.send(JSON.stringify({ type: "subscribe", data: { channel: "conversation:conv-123" } }));
    ws.send(JSON.stringify({ type: "ping", data: {} }));
  };

  ws.onmessage = (event) => {
    const message = JSON.parse(event.data);
    if (message.channel === inbox) last = message.position;
    console.log(message.type, message.data);
  };

  ws.onerror = () => {};
  ws.onclose = (event) => {
    console.log("closed", event.code);
    const delay = Math.min(50 * 2 ** attempt++, 1000) * (0.5 + Math.random() / 2);
    if (event.code !== 4401) setTimeout(() => connect(last), delay);
  };
  return ws;
}
let attempt = 0;
