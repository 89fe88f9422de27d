import WebSocket from "ws";
globalThis.WebSocket ??= WebSocket; // Node has one of its own from version 22 on

import { ApolloClient, InMemoryCache, split, HttpLink } from "@apollo/client";
import { GraphQLWsLink } from "@apollo/client/link/subscriptions";
import { createClient } from "graphql-ws";
import { getMainDefinition } from "@apollo/client/utilities";

const httpLink = new HttpLink({
  uri: "http://127.0.0.1:8000/graphql",
  headers: {
    "x-api-key": "pk_live_dev",
  },
});

const wsLink = new GraphQLWsLink(
  createClient({
    url: "ws://127.0.0.1:8000/graphql/ws",
    connectionParams: {
      apiKey: "pk_live_dev",
    },
  })
);

const splitLink = split(
  ({ query }) => {
    const definition = getMainDefinition(query);
    return (
      definition.kind === "OperationDefinition" &&
      definition.operation === "subscription"
    );
  },
  wsLink,
  httpLink
);

const client = new ApolloClient({
  link: splitLink,
  cache: new InMemoryCache(),
});

// Not the reference's: a query over HTTP, and a subscription over the WebSocket.
import { gql } from "@apollo/client";
const { data } = await client.query({ query: gql`{ records(modelKey: "product") { nodes { id data } } }` });
console.log("There are", data.records.nodes);
const change = gql`subscription { recordChanged(modelKey: "product") { type record { naturalKey } } }`;
client.subscribe({ query: change }).subscribe(({ data: { recordChanged: { type, record } } }) => {
  console.log(type, record.naturalKey);
});
