// npm graphql-ws on npm ws, as its documentation does it: an executable schema and useServer. A subscription is an
// async iterator over an in-process publish and subscribe; a request over HTTP is what happens.
const { createServer } = require('node:http');
const { buildSchema } = require('graphql');
const { useServer } = require('graphql-ws/use/ws');
const { WebSocketServer } = require('ws');

const schema = buildSchema(`
  scalar JSON
  enum ChangeType { CREATED UPDATED DELETED PUBLISHED UNPUBLISHED }
  type Record {
    id: ID!  modelKey: String!  naturalKey: String  data: JSON!  version: Int!  publishedVersion: Int
    createdAt: String!  updatedAt: String!
  }
  type RecordChange { type: ChangeType!  record: Record! }
  type Query { ok: Boolean }
  type Subscription { recordChanged(modelKey: String!): RecordChange! }
`);

const listeners = new Map();  // by model

function publish({ channel, data }) {
  const model = channel.slice('changes:'.length);
  for (const listener of listeners.get(model) ?? []) listener({ recordChanged: data });
}

async function* changes(model) {
  const waiting = [];
  let wake = () => {};
  const listener = (value) => { waiting.push(value); wake(); };
  if (!listeners.has(model)) listeners.set(model, new Set());
  listeners.get(model).add(listener);
  try {
    for (;;) {
      while (waiting.length) yield waiting.shift();
      await new Promise((resolve) => { wake = resolve; });
    }
  } finally {
    listeners.get(model).delete(listener);
  }
}

const http = createServer((request, response) => {
  const body = [];
  request.on('data', (piece) => body.push(piece));
  request.on('end', () => {
    Buffer.concat(body).toString().split('\n').map(JSON.parse).forEach(publish);
    response.writeHead(201, { 'Content-Type': 'application/json', 'Content-Length': 2 });
    response.end('{}');
  });
});

const server = new WebSocketServer({ server: http, path: '/graphql/ws' });
useServer(
  { schema, roots: { subscription: { recordChanged: ({ modelKey }) => changes(modelKey) } } },
  server,
  1000 * Number(process.env.PING_SECONDS),
);

http.listen(0, '127.0.0.1', () => console.log(`ready on http://127.0.0.1:${http.address().port}`));
