// npm socket.io, as its documentation does it: socket.broadcast.emit, "to all connected clients except the sender".
const { createServer } = require('node:http');
const { Server } = require('socket.io');

const http = createServer();
const io = new Server(http, { pingInterval: 1000 * Number(process.env.PING_SECONDS) });

io.on('connection', (socket) => {
  socket.on('bench', (message) => { socket.broadcast.emit('bench', message); });
});

http.listen(0, '127.0.0.1', () => console.log(`ready on http://127.0.0.1:${http.address().port}`));
