import { createClient } from "graphql-ws";

const client = createClient({
  url: "wss://api.foir.io/graphql/ws",
  connectionParams: {
    apiKey: "pk_live_your_api_key",
  },
});
