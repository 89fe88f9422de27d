// Runs snippets in Node: imports each file named on a line of its input, and writes what they log as JSON lines.
// With the argument "ws" or "eventsource", WebSocket or EventSource is the one of npm; else it is Node's own.
import { createInterface } from "node:readline"

// An error, or an event about one, is shown as its message; plain data as it is.
const shown = value => (value?.message !== undefined && value.constructor !== Object ? String(value.message) : value)
console.log = (...values) => process.stdout.write(JSON.stringify(values.map(shown)) + "\n")
console.error = console.log

if (process.argv[2] === "ws") globalThis.WebSocket = (await import("ws")).WebSocket
if (process.argv[2] === "eventsource") globalThis.EventSource = (await import("eventsource")).EventSource
globalThis.document = { getElementById: id => ({ set textContent(text) { console.log(id, text) } }) }

console.log("ready")
for await (const file of createInterface({ input: process.stdin })) await import(file)
process.exit()
