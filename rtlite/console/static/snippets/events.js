let position; // of the last event: where a new connection goes on

function connect() {
  const ws = new WebSocket("ws://127.0.0.1:8000/_events?apiKey=pk_live_dev");

  ws.onopen = () => {
    ws.send(JSON.stringify({ type: "subscribe", channel: "changes:product", since: position }));
  };

  ws.onmessage = (event) => {
    const data = JSON.parse(event.data);
    position = data.position ?? position;
    console.log(`[${data.channel}] ${data.event}:`, data.data);
  };

  ws.onclose = (event) => {
    console.log("closed:", event.code, event.reason);
    if (event.code < 4400) setTimeout(connect, 1000);
  };
}

connect();
