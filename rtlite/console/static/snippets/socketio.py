import rtlite

with rtlite.SyncClient("http://127.0.0.1:8000", "rts_dev") as client:
    with client.subscribe("stream:dwd23RWdwE") as events:
        for event in events:
            print(event["event"], event["data"], flush=True)
