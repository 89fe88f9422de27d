async function connectSSE(channel, token) {
  const response = await fetch(
    `http://127.0.0.1:8000/sse/${channel}?token=${token}`,
    { headers: { Accept: "text/event-stream" } }
  );

  const reader = response.body.getReader();
  const decoder = new TextDecoder();
  let buffer = "";

  while (true) {
    const { done, value } = await reader.read();
    if (done) break;

    buffer += decoder.decode(value, { stream: true });
    const lines = buffer.split("\n\n");
    buffer = lines.pop();

    for (const block of lines) {
      if (block.startsWith(": heartbeat")) continue;
      const dataMatch = block.match(/^data: (.+)$/m);
      if (dataMatch) {
        const event = JSON.parse(dataMatch[1]);
        handleEvent(event);
      }
    }
  }
}

// Not the reference's: what it is used for.
const handleEvent = ({ channel, event, data }) => console.log(channel, event, data.status ?? "");
await connectSSE("jobs:*", process.env.TOKEN);
