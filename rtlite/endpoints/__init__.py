"""What the outside connects to, one module per API: authenticate, decode, call, encode.

blog.py           the blog's sockets and REST
commands.py       WS /ws              both by dialogue.py (a connection that takes commands),
events.py         WS /_events         subscriptions.py (its channels), attendance.py (its presence)
sse.py            GET /sse
streamsockets.py  streams over Socket.IO, on socketio.py (namespaces), engine.py (Engine.IO),
                  enginesockets.py (its sessions)
streams.py        /streams
conversations.py  /conversations, /status
records.py        /records
models.py         /models
jobs.py           /jobs
inbox.py          /notifications      pages.py: how these answer lists
graphql.py        /graphql, on resolvers.py and the root fields in graphqlrecords.py, graphqljobs.py
                  and graphqlevents.py; schema.graphql is the schema, which graphqlschema.py opens,
                  graphiql.py the page with --dev
graphqlsockets.py WS /graphql/ws, on operations.py (subscriptions, executed once per event)
collab.py         WS /collab
documents.py      /collab: documents and their snapshots
history.py, presence.py, webhooks.py, faults.py, management.py, credentials.py, samples.py
                  /api
guestsockets.py   WebSocket protocols that an embedding program brings
health.py, conformance.py
console.py        the console at /, with logins.py (/api/session) and live.py (/api/live)
staticfiles.py    files of the package: the console's and others'
docs.py           /docs, pages made by docpages.py
descriptions.py   /openapi.json, made by openapi.py of what the routes say, and /asyncapi.json, made by
                  asyncapi.py of what goes over the doors that last (messages.py, graphqlmessages.py)
sessions.py       what all that last do alike: admit, subscribe, hold the limits; pacing.py: read no
                  faster than the limits
"""
