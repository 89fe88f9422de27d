import { EventSource } from "eventsource"; // npm install eventsource

const source = new EventSource("http://127.0.0.1:8000/sse/changes:product?apiKey=pk_live_dev");

source.addEventListener("connected", ({ data }) => console.log("Connected:", JSON.parse(data)));
source.addEventListener("message", ({ data }) => console.log("Event:", JSON.parse(data)));
source.addEventListener("error", ({ message }) => console.error("away:", message));
