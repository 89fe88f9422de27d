// y-websocket's own server, as its bin/server.cjs has it, on a free port. It keeps documents in memory alone.
const http = require('node:http');
const { WebSocketServer } = require('ws');
const { setupWSConnection } = require('y-websocket-2/bin/utils');

const server = http.createServer();
new WebSocketServer({ server }).on('connection', setupWSConnection);
server.listen(0, '127.0.0.1', () => console.log(`ready on http://127.0.0.1:${server.address().port}`));
