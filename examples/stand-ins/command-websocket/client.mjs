// The reference shows no program. This one does what its sections say: it subscribes, pings, and comes back with
// exponential backoff and jitter, up to a longest delay, which a connection resets.
import WebSocket from "ws";

const token = process.env.TOKEN;
let attempt = 0;

function connect() {
  const ws = new WebSocket(`ws://127.0.0.1:8000/ws?token=${token}`);

  ws.onopen = () => {
    attempt = 0;
    ws.send(JSON.stringify({ type: "subscribe", data: { channel: "conversation:conv-123" } }));
    ws.send(JSON.stringify({ type: "subscribe", data: { channel: "task:task-789" } }));
    ws.send(JSON.stringify({ type: "ping", data: {} }));
  };

  ws.onmessage = (event) => {
    const { type, channel, data } = JSON.parse(event.data);
    console.log(type, channel ?? "", data);
  };

  ws.onerror = () => {}; // onclose follows
  ws.onclose = (event) => {
    if (event.code === 4401) return console.log("the token does not hold");
    const delay = Math.min(1000 * 2 ** attempt++, 30_000) * (0.5 + Math.random() / 2);
    console.log(`closed with ${event.code}; again in ${Math.round(delay)} ms`);
    setTimeout(connect, delay);
  };
}
connect();
