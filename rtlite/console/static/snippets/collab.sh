curl -s http://127.0.0.1:8000/collab/info -H 'X-Api-Key: pk_live_dev'
# Changes the document for everyone who has it open, and reads it.
curl -s -X PUT http://127.0.0.1:8000/collab/notes/document -H 'X-Api-Key: pk_live_dev' \
  -H 'Content-Type: application/json' -d '{"content": "Hello from a terminal"}'
curl -s 'http://127.0.0.1:8000/collab/notes/document?format=text' -H 'X-Api-Key: pk_live_dev'
