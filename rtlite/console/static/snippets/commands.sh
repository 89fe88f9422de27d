# Writes what the WebSocket sends to a file, a message a line.
rtlite record conversation.jsonl --from 'ws://127.0.0.1:8000/ws?token=YOUR_TOKEN' \
  --send '{"type": "subscribe", "data": {"channel": "conversation:conv-123"}}'
