import rtlite

with rtlite.SyncClient("http://127.0.0.1:8000", "pk_live_dev") as client:
    with client.subscribe("changes:product") as events:
        for event in events:
            print(event["channel"], event["event"], event["data"], flush=True)
