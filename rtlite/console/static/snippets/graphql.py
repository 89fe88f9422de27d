import rtlite

query = """query { records(modelKey: "product", first: 10) { nodes { id naturalKey data } } }"""

with rtlite.SyncClient("http://127.0.0.1:8000", "pk_live_dev") as client:
    answer = client.call("POST", "/graphql", {"query": query})
    print(answer["data"]["records"]["nodes"])
    with client.subscribe("changes:product") as events:
        for event in events:
            print(event["event"], event["data"], flush=True)
