import WebSocket from "ws";
globalThis.WebSocket ??= WebSocket; // Node has one of its own from version 22 on

import { createClient } from "graphql-ws";

const client = createClient({
  url: "ws://127.0.0.1:8000/graphql/ws",
  connectionParams: {
    apiKey: "pk_live_dev",
  },
  retryAttempts: 5,
  retryWait: async (retryCount) => {
    await new Promise((resolve) =>
      setTimeout(resolve, Math.min(1000 * 2 ** retryCount, 16000))
    );
  },
  on: {
    connected: () => console.log("WebSocket connected"),
    closed: () => console.log("WebSocket closed"),
    error: (err) => console.error("WebSocket error:", err),
  },
});

const unsubscribe = client.subscribe(
  {
    query: `
      subscription OnRecordChange($modelKey: String!) {
        recordChanged(modelKey: $modelKey) {
          type
          record {
            id
            modelKey
            naturalKey
            data
            updatedAt
          }
        }
      }
    `,
    variables: { modelKey: "product" },
  },
  {
    next(data) {
      console.log("Record changed:", data);
    },
    error(err) {
      console.error("Subscription error:", err);
    },
    complete() {
      console.log("Subscription complete");
    },
  }
);
