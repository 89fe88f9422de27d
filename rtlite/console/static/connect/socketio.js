// A stream over Socket.IO, by npm's socket.io-client.

import { el } from "../dom.js";
import { io } from "../vendor/socket.io.js";

const STREAM = "dwd23RWdwE";

export const socketio = {
  id: "socketio",
  title: "Socket.IO",
  about: ["What a program prints, as a stream for any Socket.IO client: ", el("code", {}, "/socket.io/"), ". To be replayed, it keeps its history; the try-out turns that on."],
  forms: ["js", "mjs", "sh", "py"],
  credential: { key: "rts_dev", kind: "stream" },
  sample: "message",
  channel: () => `stream:${STREAM}`,
  async connect({ credential, since, on, context }) {
    const token = await credential.secret();
    await keepHistory(token);
    const now = await context.api.get(`/api/channels/stream:${STREAM}/history`, { since: "0s" });
    const query = { stream: STREAM, token, includeMetadata: true, replay: since ?? now.next };
    const socket = io(location.origin, { query, forceNew: true });
    socket.on("connect", () => on.open(`Connected by ${socket.io.engine.transport.name}, as ${socket.id}`, query.replay));
    socket.on("message", ({ id, data }) => {
      query.replay = id; // a reconnect goes on behind this
      on.event("message", data, id);
    });
    socket.on("warning", ({ code, message }) => on.note(`${code}: ${message}`));
    socket.on("error", ({ code, message }) => on.note(`${code}: ${message}`));
    socket.on("connect_error", (error) => on.away(`Not connected: ${error.message}`));
    socket.on("disconnect", (reason) => {
      if (socket.active) on.away(`Disconnected (${reason}); the client tries again`);
      else on.end(`Disconnected: ${reason}`);
    });
    return () => socket.disconnect();
  },
};

async function keepHistory(key) {
  const headers = { Authorization: `Bearer ${key}`, "Content-Type": "application/json" };
  const answer = await fetch(`/streams/${STREAM}`, { method: "PUT", headers, body: '{"storeHistory":true}' });
  if (!answer.ok) throw new Error((await answer.json()).detail);
}
