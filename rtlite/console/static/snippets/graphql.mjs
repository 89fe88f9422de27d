import { createClient } from "graphql-ws"; // npm install graphql-ws graphql ws
import WebSocket from "ws";

const client = createClient({
  url: "ws://127.0.0.1:8000/graphql/ws",
  webSocketImpl: WebSocket,
  connectionParams: {
    apiKey: "pk_live_dev",
  },
});

const changes = client.iterate({
  query: `subscription ($modelKey: String!) {
    recordChanged(modelKey: $modelKey) { type record { id naturalKey data updatedAt } }
  }`,
  variables: { modelKey: "product" },
});
for await (const { data } of changes) console.log("Record changed:", data.recordChanged);
