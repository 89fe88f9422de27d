const source = new EventSource("http://127.0.0.1:8000/sse/changes:product?apiKey=pk_live_dev");

source.addEventListener("connected", (event) => {
  const { channel, userId } = JSON.parse(event.data);
  console.log(`Connected to ${channel} as ${userId}`);
});

source.addEventListener("message", (event) => {
  const data = JSON.parse(event.data);
  console.log("Event:", data.event, data.data);
});

source.onerror = () => {
  // EventSource reconnects by itself and goes on where it was
};
