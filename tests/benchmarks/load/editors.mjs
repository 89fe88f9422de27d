// Editors of one document: each line of the input is a command, answered by a line of JSON.
//   {"op": "open", "url", "prefix", "editors"}    connect so many; done when all are in sync
//   {"op": "type", "rate", "seconds"}             each types so many characters a second; done when all have all
//   {"op": "grow", "bytes"}                       the first makes the document so large, at least
//   {"op": "join", "times"}                       so often: the first types, then somebody comes and gets the document
// "prefix" is a document's name that messages begin with, as Hocuspocus wants it; it is told a token as well.
import { createRequire } from "node:module"
import { createInterface } from "node:readline"

const require = createRequire(`${process.env.NODE_PATH}/`)
const { WebSocket } = require("ws")
const Y = require("yjs")
const encoding = require("lib0/encoding")
const decoding = require("lib0/decoding")
const sync = require("y-protocols/sync")

const STEP_2 = 1
let url, prefix
const editors = []
const pause = ms => new Promise(done => setTimeout(done, ms))

function message(kind, write) {
  const encoder = encoding.createEncoder()
  if (prefix) encoding.writeVarString(encoder, prefix)
  encoding.writeVarUint(encoder, kind)
  write(encoder)
  return encoding.toUint8Array(encoder)
}

// A connection; `hear` gets a decoder for each sync message, and the connection.
function connect(hear) {
  return new Promise((opened, failed) => {
    const socket = new WebSocket(url, { perMessageDeflate: false, maxPayload: 2 ** 28 })
    socket.binaryType = "nodebuffer"
    socket.on("message", data => {
      const decoder = decoding.createDecoder(data)
      if (prefix) decoding.readVarString(decoder)
      const kind = decoding.readVarUint(decoder)
      if (kind === 0 || kind === 4) hear(decoder, socket) // 4: Hocuspocus' answer to step 1
    })
    socket.on("close", (code, reason) => failed(new Error(`closed ${code} ${reason}`)))
    socket.on("open", () => {
      if (prefix) socket.send(message(2, encoder => { encoding.writeVarUint(encoder, 0); encoding.writeVarString(encoder, "token") }))
      opened(socket)
    })
  })
}

async function edit() {
  const doc = new Y.Doc()
  let synced
  const done = new Promise(resolve => { synced = resolve })
  const socket = await connect((decoder, socket) => {
    const answer = encoding.createEncoder()
    const step = sync.readSyncMessage(decoder, answer, doc, "server")
    if (encoding.hasContent(answer)) socket.send(message(0, encoder => encoding.writeUint8Array(encoder, encoding.toUint8Array(answer))))
    if (step === STEP_2) synced()
  })
  doc.on("update", (update, origin) => origin === "server" || socket.send(message(0, encoder => sync.writeUpdate(encoder, update))))
  socket.send(message(0, encoder => sync.writeSyncStep1(encoder, doc)))
  await done
  return { doc, text: doc.getText("content") }
}

async function converged(seconds = 20) {
  const until = performance.now() + 1000 * seconds
  const first = editors[0].text
  for (;;) {
    const missing = editors.filter(({ text }) => text.length !== first.length).length
    if (!missing) return editors.filter(({ text }) => text.toString() !== first.toString()).length
    if (performance.now() > until) return missing
    await pause(5)
  }
}

const commands = {
  async open(command) {
    ;({ url, prefix } = command)
    for (let number = 0; number < command.editors; number++) editors.push(await edit())
    return {}
  },

  // As people do: each at a place of its own, a character at a time, not all in the same moment.
  async type({ rate, seconds }) {
    const began = editors[0].text.length
    const sent = [] // when the first typed, by its clock; and how long until the last had it
    const delays = []
    const [first, last] = [editors[0].doc, editors.at(-1).doc]
    let seen = Y.getState(last.store, first.clientID)
    first.on("update", (_, origin) => { if (origin !== "server") sent[Y.getState(first.store, first.clientID) - 1] = performance.now() })
    last.on("update", () => {
      for (const now = performance.now(); seen < Y.getState(last.store, first.clientID); seen++) delays.push(now - sent[seen])
    })
    let typed = 0
    await Promise.all(
      editors.map(async ({ text }, number) => {
        const start = performance.now() + (1000 / rate) * (number / editors.length)
        let at = Y.createRelativePositionFromTypeIndex(text, Math.floor((text.length * number) / editors.length))
        for (let count = 0; count < rate * seconds; count++) {
          await pause(start + (1000 * count) / rate - performance.now())
          const index = Y.createAbsolutePositionFromRelativePosition(at, text.doc).index
          text.insert(index, "abcdefghij "[count % 11])
          at = Y.createRelativePositionFromTypeIndex(text, index + 1)
          typed++
        }
      }),
    )
    const wrong = await converged()
    delays.sort((one, other) => one - other)
    return { typed, wrong, missing: began + typed - editors[0].text.length, delay: delays[delays.length >> 1] }
  },

  // Small edits beside each other, none of which joins another; in pieces that any server takes.
  async grow({ bytes }) {
    const [{ doc, text }] = editors
    let seed = 1
    const random = most => (seed = (seed * 48271) % 2147483647) % most
    for (let size = 0; size < bytes; size = Y.encodeStateAsUpdate(doc).length) {
      doc.transact(() => {
        for (let count = 0; count < 10000; count++) text.insert(random(Math.min(text.length, 500) + 1), "words words words ".slice(random(9)))
      })
      await pause(100)
    }
    return {}
  },

  async join({ times }) {
    const milliseconds = []
    let bytes = 0
    for (let time = 0; time < times; time++) {
      editors[0].text.insert(0, ".")
      await pause(300)
      const start = performance.now()
      await new Promise((done, failed) => {
        connect(decoder => {
          if (decoding.readVarUint(decoder) !== STEP_2) return
          milliseconds.push(performance.now() - start)
          bytes = decoding.readVarUint8Array(decoder).length
          done()
        }).then(socket => {
          const empty = new Y.Doc()
          socket.send(message(0, encoder => sync.writeSyncStep1(encoder, empty)))
        }, failed)
      })
      await pause(100)
    }
    return { milliseconds, bytes }
  },
}

for await (const line of createInterface({ input: process.stdin })) {
  const command = JSON.parse(line)
  const answer = await commands[command.op](command).catch(error => ({ error: String(error) }))
  process.stdout.write(JSON.stringify(answer) + "\n")
}
process.exit()
