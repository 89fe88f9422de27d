// The yardstick for HTTP: a bare Node server that reads the body and answers 201 with JSON. It stores nothing.
const { createServer } = require('node:http');

const answer = JSON.stringify({
  id: '01a1b2c3-0000-7000-8000-000000000000', channel: 'article:bench', offset: 1, epoch: '00000000',
  timestamp: '2026-01-01T00:00:00.000Z',
});

const server = createServer((request, response) => {
  const body = [];
  request.on('data', (piece) => body.push(piece));
  request.on('end', () => {
    Buffer.concat(body);
    response.writeHead(201, { 'Content-Type': 'application/json', 'Content-Length': Buffer.byteLength(answer) });
    response.end(answer);
  });
});

server.listen(0, '127.0.0.1', () => console.log(`ready on http://127.0.0.1:${server.address().port}`));
