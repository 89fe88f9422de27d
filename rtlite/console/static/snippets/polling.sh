# What came in the last two hours; then ask again with ?since= and the answer's "next".
curl -s 'http://127.0.0.1:8000/api/channels/changes:product/history?since=2h&wait=25s' -H 'X-Api-Key: pk_live_dev'
