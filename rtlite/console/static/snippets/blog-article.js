const token = "mbk_dev";

function connect(slug) {
  const ws = new WebSocket(
    `ws://127.0.0.1:8000/blog/ws/articles/${slug}?token=${token}`
  );

  ws.onmessage = (event) => {
    const { type, viewCount, reactions } = JSON.parse(event.data);
    if (type === "view_update") console.log("Views:", viewCount);
    if (type === "reaction_update") console.log("Reactions:", reactions);
  };

  ws.onclose = (event) => {
    if (event.code < 4400) setTimeout(() => connect(slug), 1000);
  };
}

connect("hello");
