import { createClient } from "graphql-ws"; // npm install graphql-ws graphql

const client = createClient({
  url: "ws://127.0.0.1:8000/graphql/ws",
  connectionParams: {
    apiKey: "pk_live_dev",
  },
  retryAttempts: Infinity,
  shouldRetry: () => true,
});

const variables = { modelKey: "product", since: null };
client.subscribe(
  {
    query: `
      subscription OnRecordChange($modelKey: String!, $since: String) {
        recordChanged(modelKey: $modelKey, since: $since) {
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
    variables,
  },
  {
    next({ data, errors, extensions }) {
      if (extensions) variables.since = extensions.position; // a reconnect goes on behind this
      if (errors) console.error("something was missed:", errors);
      else console.log("Record changed:", data.recordChanged);
    },
    error: (error) => console.error("Subscription error:", error),
    complete: () => console.log("Subscription complete"),
  }
);
