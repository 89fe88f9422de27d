const client = createClient({
  url: "wss://api.foir.io/graphql/ws",
  connectionParams: {
    apiKey: "pk_live_your_api_key",
  },
  retryAttempts: 5,
  retryWait: async (retryCount) => {
    await new Promise((resolve) =>
      setTimeout(resolve, Math.min(1000 * 2 ** retryCount, 16000))
    );
  },
  on: {
    connected: () => console.log("WebSocket connected"),
    closed: () => console.log("WebSocket closed"),
    error: (err) => console.error("WebSocket error:", err),
  },
});
