// GraphiQL on this server: queries and mutations over HTTP, subscriptions over /graphql/ws.
// What the tab "Headers" holds is presented to both: x-api-key, authorization.
'use strict'

const DEV_HEADERS = { 'x-api-key': 'pk_live_dev' } // it may write; put a user's token beside it as "authorization"

const WELCOME = `# rtlite with --dev. Run one of these with Ctrl-Enter; leave the subscription open
# in one tab (the + above) and make a record in another.

subscription Changes {
  recordChanged(modelKey: "product") {
    type
    record { id naturalKey data version updatedAt }
  }
}

mutation Make {
  createRecord(modelKey: "product", data: { name: "Mug", price: 12 }) { id version }
}

query Products {
  records(modelKey: "product", first: 10) {
    nodes { id data version publishedVersion }
    pageInfo { endCursor hasNextPage }
  }
}
`

const lowered = headers => Object.fromEntries(Object.entries(headers || {}).map(([name, value]) => [name.toLowerCase(), value]))

function isSubscription (document, name) {
  const operations = (document ? document.definitions : []).filter(item => item.kind === 'OperationDefinition')
  const chosen = name ? operations.find(item => item.name && item.name.value === name) : operations[0]
  return chosen !== undefined && chosen.operation === 'subscription'
}

async function * subscribe (parameters, headers) {
  const client = graphqlWs.createClient({
    url: location.origin.replace('http', 'ws') + '/graphql/ws',
    connectionParams: { apiKey: headers['x-api-key'], authorization: headers.authorization },
    lazyCloseTimeout: 0
  })
  try {
    yield * client.iterate(parameters)
  } finally {
    client.dispose()
  }
}

async function ask (parameters, headers) {
  const answer = await fetch('/graphql', {
    method: 'POST',
    headers: { ...headers, accept: 'application/graphql-response+json, application/json', 'content-type': 'application/json' },
    body: JSON.stringify(parameters)
  })
  return answer.json()
}

function fetcher (parameters, options = {}) {
  const headers = lowered(options.headers)
  return isSubscription(options.documentAST, parameters.operationName) ? subscribe(parameters, headers) : ask(parameters, headers)
}

ReactDOM.createRoot(document.getElementById('graphiql')).render(React.createElement(GraphiQL, {
  fetcher,
  defaultQuery: WELCOME,
  headers: JSON.stringify(DEV_HEADERS, null, 2),
  defaultEditorToolsVisibility: 'headers'
}))
