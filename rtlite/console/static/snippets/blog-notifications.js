const token = "mbk_dev";

function connect() {
  const ws = new WebSocket(`ws://127.0.0.1:8000/blog/ws/notifications?token=${token}`);

  ws.onopen = () => console.log("Connected");

  ws.onmessage = (event) => {
    const data = JSON.parse(event.data);
    console.log("Event:", data);
  };

  ws.onclose = (event) => {
    console.log("Disconnected:", event.code, event.reason);
    if (event.code < 4400) setTimeout(connect, 1000);
  };
}

connect();
