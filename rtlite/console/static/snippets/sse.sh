curl -sN 'http://127.0.0.1:8000/sse/changes:product?apiKey=pk_live_dev'
