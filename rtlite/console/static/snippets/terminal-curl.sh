curl -s http://127.0.0.1:8000/api/publish -H 'X-Api-Key: rtk_dev' \
  -d '{"channel": "article:hello", "event": "view_update", "data": {"viewCount": 42}}'
