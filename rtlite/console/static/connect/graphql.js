// GraphQL subscriptions, by npm's graphql-ws.

import { el } from "../dom.js";
import "../vendor/graphql-ws.js"; // defines graphqlWs

const CHANGES = "changes:product";
const QUERY = `subscription ($since: String) {
  recordChanged(modelKey: "product", since: $since) { type record { id naturalKey data version updatedAt } }
}`;

export const graphql = {
  id: "graphql",
  title: "GraphQL",
  about: ["Subscriptions by the protocol graphql-transport-ws: ", el("code", {}, "WS /graphql/ws"), ". Queries and mutations are at ", el("code", {}, "/graphql"), "."],
  forms: ["js", "mjs", "sh", "py"],
  credential: { key: "pk_live_dev", rights: { subscribe: [CHANGES] } },
  sample: "UPDATED",
  channel: () => CHANGES,
  tells: (record, { record: published }) => record.version === published.version && record.updatedAt === published.updatedAt,
  async connect({ credential, since, on }) {
    const secret = await credential.secret();
    const variables = { since };
    const client = globalThis.graphqlWs.createClient({
      url: `${location.origin.replace(/^http/, "ws")}/graphql/ws`,
      connectionParams: secret.startsWith("pk_") ? { apiKey: secret } : { authorization: secret },
      lazyCloseTimeout: 0,
      retryAttempts: Infinity,
      shouldRetry: (problem) => problem.code !== 4403, // the credential does not hold
      on: {
        connected: (socket, { user, now }) => on.open(`Acknowledged for the user ${user}`, variables.since ?? now),
        closed: ({ code, reason }) => on.away(`Closed with ${code}${reason ? `: ${reason}` : ""}`),
      },
    });
    client.subscribe({ query: QUERY, variables }, {
      next({ data, errors, extensions }) {
        variables.since = extensions?.position ?? variables.since; // a reconnect goes on behind this
        if (errors) on.note(errors.map(({ message }) => message).join("; "));
        if (data) on.event(`recordChanged: ${data.recordChanged.type}`, data.recordChanged.record, variables.since);
      },
      error: (problem) => on.end(words(problem)),
      complete: () => on.end("The subscription is complete"),
    });
    return () => client.dispose();
  },
};

function words(problem) {
  if (Array.isArray(problem)) return problem.map(({ message }) => message).join("; ");
  return problem.code ? `Closed with ${problem.code}: ${problem.reason}` : problem.message;
}
