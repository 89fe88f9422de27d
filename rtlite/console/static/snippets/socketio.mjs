import { io } from "socket.io-client"; // npm install socket.io-client

const socket = io("http://127.0.0.1:8000/", {
  query: { stream: "dwd23RWdwE", token: "rts_dev", includeMetadata: true },
});
socket.io.on("reconnect_attempt", () => (socket.io.opts.query.replayId = last)); // go on where it was
let last;

socket.on("message", (message) => {
  last = message.id;
  console.log(message.offset, message.data);
});
socket.on("error", console.error);
