import rtlite

with rtlite.SyncClient("http://127.0.0.1:8000", "mbk_dev") as client:
    with client.subscribe("article:hello") as events:
        for event in events:
            print(event["event"], event["data"], flush=True)
