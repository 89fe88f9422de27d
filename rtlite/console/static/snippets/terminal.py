import rtlite

with rtlite.SyncClient("http://127.0.0.1:8000", "rtk_dev") as client:
    receipt = client.publish("article:hello", "view_update", {"viewCount": 7}, retry_for=30)
    print("stored at", receipt["offset"])
    with client.subscribe("article:hello", since="1m") as events:
        for event in events:
            print(event["event"], event["data"], flush=True)
