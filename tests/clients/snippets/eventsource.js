// Customer notification inbox
const source = new EventSource(
  `https://realtime.foir.io/sse/notifications:${customerId}?token=${customerToken}`
);

source.addEventListener("connected", (event) => {
  const { channel, userId } = JSON.parse(event.data);
  console.log(`Connected to ${channel}`);
});

source.addEventListener("message", (event) => {
  const data = JSON.parse(event.data);
  console.log("Event:", data.event, data.data);
});

source.onerror = () => {
  // EventSource reconnects automatically
};
