import WebSocket from "ws";

function connect(token, slug) {
  const path = slug
    ? `ws://127.0.0.1:8000/blog/ws/articles/${slug}`
    : "ws://127.0.0.1:8000/blog/ws/notifications";
  const ws = new WebSocket(`${path}?token=${token}`);
  let retryDelay = 1000;

  ws.onclose = () => {
    console.log(`Reconnecting in ${retryDelay / 1000}s...`);
    setTimeout(() => connect(token, slug), retryDelay);
    retryDelay = Math.min(retryDelay * 2, 30_000);
  };

  ws.onopen = () => {
    retryDelay = 1000; // reset on successful connection
  };

  return ws;
}

// Not the reference's: what it does with the socket.
const ws = connect("mbk_dev", "my-first-post");
ws.onmessage = ({ data }) => console.log("article:", data);
