const ws = new WebSocket(
  `wss://api.misar.io/blog/ws/articles/my-first-post?token=${token}`
);

ws.onmessage = (event) => {
  const { type, viewCount } = JSON.parse(event.data);
  if (type === "view_update") {
    document.getElementById("view-count")!.textContent = String(viewCount);
  }
};
