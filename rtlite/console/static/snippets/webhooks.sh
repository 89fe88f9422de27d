# The answer has the secret, this once: start the receiver with it as WEBHOOK_SECRET.
curl -s http://127.0.0.1:8000/api/webhooks -H 'X-Api-Key: rtk_dev' \
  -d '{"url": "http://127.0.0.1:3000/hook", "channels": ["article:*"]}'
