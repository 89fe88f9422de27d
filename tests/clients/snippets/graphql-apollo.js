import { ApolloClient, InMemoryCache, split, HttpLink } from "@apollo/client";
import { GraphQLWsLink } from "@apollo/client/link/subscriptions";
import { createClient } from "graphql-ws";
import { getMainDefinition } from "@apollo/client/utilities";

const httpLink = new HttpLink({
  uri: "https://api.foir.io/graphql",
  headers: {
    "x-api-key": "pk_live_your_api_key",
  },
});

const wsLink = new GraphQLWsLink(
  createClient({
    url: "wss://api.foir.io/graphql/ws",
    connectionParams: {
      apiKey: "pk_live_your_api_key",
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
