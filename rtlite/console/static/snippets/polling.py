import rtlite

with rtlite.SyncClient("http://127.0.0.1:8000", "pk_live_dev") as client:
    since = "0s"
    while True:
        page = client.history("changes:product", since=since, wait="25s")
        for event in page["items"]:
            print(event["event"], event["data"], flush=True)
        since = page["next"]
