import rtlite

with rtlite.SyncClient("http://127.0.0.1:8000", "pk_live_dev") as client:
    client.call("PUT", "/collab/notes/document", {"content": "Hello from Python"})
    print(client.call("GET", "/collab/notes/document"))
