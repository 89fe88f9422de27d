import rtlite

with rtlite.SyncClient("http://127.0.0.1:8000", "YOUR_TOKEN") as client:
    with client.subscribe("conversation:conv-123") as events:
        for event in events:
            print(event["event"], event["data"], flush=True)
