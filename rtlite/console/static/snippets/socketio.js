import { io } from "socket.io-client"; // npm install socket.io-client

const host = "http://127.0.0.1:8000/";
const socket = io(host, {
  query: {
    stream: "dwd23RWdwE", // the id of your script
    token: "rts_dev",
  },
});

socket.on("connect", () => console.log("Connected to", host));
socket.on("disconnect", (reason) => console.log("Disconnected:", reason));
socket.on("warning", (warning) => console.log("WARNING =>", warning));
socket.on("error", (error) => console.error("ERROR =>", error));
socket.on("message", (message) => console.log("MESSAGE =>", message));
