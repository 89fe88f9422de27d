// Bun's server, as its documentation does publish and subscribe: the sockets of a topic, and ws.publish to all but
// itself. Bun pings by itself, some seconds before the idle timeout.
const server = Bun.serve({
  hostname: '127.0.0.1',
  port: 0,
  fetch(request, server) {
    if (server.upgrade(request)) return undefined;
    return new Response('a WebSocket is wanted', { status: 400 });
  },
  websocket: {
    idleTimeout: Number(process.env.PING_SECONDS),
    sendPings: true,
    open(ws) { ws.subscribe('bench'); },
    message(ws, message) { ws.publish('bench', message); },
  },
});
console.log(`ready on http://127.0.0.1:${server.port}`);
