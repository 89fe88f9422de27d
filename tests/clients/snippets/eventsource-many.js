// Listen to both notifications and product changes
const notifications = new EventSource(
  `https://realtime.foir.io/sse/notifications:${userId}?token=${token}`
);

const productChanges = new EventSource(
  `https://realtime.foir.io/sse/changes:product?apiKey=${apiKey}`
);
