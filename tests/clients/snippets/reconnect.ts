function connect(token: string, slug?: string) {
  const path = slug
    ? `wss://api.misar.io/blog/ws/articles/${slug}`
    : "wss://api.misar.io/blog/ws/notifications";
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
