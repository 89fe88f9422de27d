// A text that everyone who has the page open edits at once: CodeMirror on Yjs, over rtlite.
import { Compartment, EditorState } from "@codemirror/state"
import { keymap } from "@codemirror/view"
import { EditorView, basicSetup } from "codemirror"
import { yCollab, yUndoManagerKeymap } from "y-codemirror.next"
import { WebsocketProvider, messageAuth } from "y-websocket"
import * as Y from "yjs"

const COLOURS = ["#7cc4ff", "#7fdd9a", "#ffc26b", "#ff9d94", "#d3a8ff", "#6fdcd5", "#f59fd0", "#cbd46a"]

const asked = new URLSearchParams(location.search)
const server = asked.get("server") ?? "ws://127.0.0.1:8000/collab"
const room = asked.get("room") ?? "shared-page"
const token = asked.get("token") ?? "pk_live_dev" // of `rtlite serve --dev`; your own backend makes tokens for its users

const byId = id => document.getElementById(id)

// The document, and its connection. It comes back by itself, and brings what was typed meanwhile.
const doc = new Y.Doc()
const text = doc.getText("content")
const provider = new WebsocketProvider(server, room, doc, { params: { token } })
const { awareness } = provider

// Who we are, and who else is here.
const name = byId("name")
name.value = asked.get("name") ?? localStorage.getItem("name") ?? `Guest ${doc.clientID % 100}`
const colour = COLOURS[doc.clientID % COLOURS.length]
const introduce = () => awareness.setLocalStateField("user", { name: name.value, color: colour, colorLight: `${colour}55` })
name.addEventListener("input", () => {
  localStorage.setItem("name", name.value)
  introduce()
})
introduce()

function showPeople() {
  const people = [...awareness.getStates()].filter(([, state]) => state.user)
  byId("people").replaceChildren(
    ...people.map(([client, { user }]) => {
      const item = document.createElement("li")
      item.textContent = client === doc.clientID ? `${user.name} (you)` : user.name
      item.style.background = CSS.supports("color", user.color) ? user.color : COLOURS[0]
      return item
    }),
  )
}
awareness.on("change", showPeople)
showPeople()

// The editor.
const editable = new Compartment()
const undoManager = new Y.UndoManager(text)
const view = new EditorView({
  parent: byId("editor"),
  state: EditorState.create({
    doc: text.toString(),
    extensions: [
      keymap.of(yUndoManagerKeymap),
      basicSetup,
      EditorView.lineWrapping,
      EditorView.contentAttributes.of({ "aria-label": "The shared text" }),
      editable.of([]),
      yCollab(text, awareness, { undoManager }),
    ],
  }),
})

// How things stand.
function show(state, words) {
  byId("state").dataset.state = state
  byId("state").textContent = words
}
const writing = () => byId("state").dataset.state !== "readonly"
show("connecting", "connecting …")
provider.on("sync", synced => synced && writing() && show("connected", "connected"))
provider.on("status", ({ status }) => {
  if (status !== "connected" && writing()) show("connecting", "not connected; what you type is kept")
})
provider.on("closed", ({ reason }) => show("refused", reason)) // for good: the token, the room, a deleted text

// Who may only read is told at the first edit, which nobody else gets.
provider.messageHandlers[messageAuth] = () => {
  show("readonly", "you may only read this; your last edit is not shared")
  view.dispatch({ effects: editable.reconfigure([EditorState.readOnly.of(true), EditorView.editable.of(false)]) })
}
