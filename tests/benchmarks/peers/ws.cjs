// npm ws, as its README does it: "A client WebSocket broadcasting to all connected WebSocket clients, excluding itself"
// and "How to detect and close broken connections?".
const { WebSocket, WebSocketServer } = require('ws');

const server = new WebSocketServer({ host: '127.0.0.1', port: 0 });

server.on('connection', (socket) => {
  socket.isAlive = true;
  socket.on('error', console.error);
  socket.on('pong', () => { socket.isAlive = true; });
  socket.on('message', (data, isBinary) => {
    server.clients.forEach((client) => {
      if (client !== socket && client.readyState === WebSocket.OPEN) client.send(data, { binary: isBinary });
    });
  });
});

setInterval(() => {
  server.clients.forEach((socket) => {
    if (!socket.isAlive) return socket.terminate();
    socket.isAlive = false;
    socket.ping();
  });
}, 1000 * Number(process.env.PING_SECONDS));

server.on('listening', () => console.log(`ready on http://127.0.0.1:${server.address().port}`));
