curl -s http://127.0.0.1:8000/graphql -H 'X-Api-Key: pk_live_dev' -H 'Content-Type: application/json' \
  -d '{"query": "mutation { createRecord(modelKey: \"product\", data: {name: \"Mug\", price: 12}) { id version } }"}'
