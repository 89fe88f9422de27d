// Unsubscribe from a channel
ws.send(JSON.stringify({ type: "unsubscribe", channel: "changes:product" }));
