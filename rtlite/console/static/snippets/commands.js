const token = "YOUR_TOKEN";
let position = ""; // of the last event: where a new connection goes on

function connect() {
  const ws = new WebSocket(`ws://127.0.0.1:8000/ws?token=${token}`);

  ws.onopen = () => {
    const since = position || undefined;
    ws.send(JSON.stringify({ type: "subscribe", data: { channel: "conversation:conv-123", since } }));
  };

  ws.onmessage = (event) => {
    const message = JSON.parse(event.data);
    if (message.channel === "conversation:conv-123") position = message.position;
    console.log(message.type, message.data);
  };

  ws.onclose = (event) => {
    console.log("closed:", event.code, event.reason);
    if (event.code !== 4401) setTimeout(connect, 1000);
  };
}

connect();
