// Writes yjs_histories.json: what several editors did, as Yjs told of it, and what it says their document is in the end.
// Run in tests/: node domain/yjs_histories.mjs > domain/yjs_histories.json
import * as Y from "yjs"

let seed = 1
const random = () => ((seed = (seed * 48271) % 2147483647) - 1) / 2147483646
const pick = (list) => list[Math.floor(random() * list.length)]
const upTo = (most) => Math.floor(random() * (most + 1))

function edit(doc) {
  const text = doc.getText("text"), list = doc.getArray("list"), map = doc.getMap("map")
  const cut = (of) => { const at = upTo(of.length - 1); of.delete(at, 1 + upTo(Math.min(2, of.length - at - 1))) }
  pick([
    () => text.insert(upTo(text.length), pick(["a", "bc", "😀", "x😀🎉y", "é"])),
    () => text.length && cut(text),
    // Not where an emoji could be parted: Yjs parts it for who does that, and tells nobody.
    () => text.length && !/[\ud800-\udfff]/.test(text.toString()) && text.format(upTo(text.length - 1), 1, { bold: pick([true, null]) }),
    () => list.insert(upTo(list.length), pick([["a"], [1, 2, 3], [{ deep: [1] }], [new Y.Map([["k", 1]])]])),
    () => list.length && cut(list),
    () => map.set(pick(["x", "y"]), pick([1, "two", new Y.Array()])),
    () => map.delete(pick(["x", "y"])),
  ])()
}

const histories = []
for (let number = 0; number < 40; number++) {
  const docs = [1, 2, 3].map((id) => { const doc = new Y.Doc(); doc.clientID = id; return doc })
  const updates = []
  for (const doc of docs) doc.on("update", (update, origin) => origin === "other" || updates.push(update))
  for (let turn = 0; turn < 15; turn++) {
    const doc = pick(docs)
    edit(doc)
    if (random() < 0.4) {
      const other = pick(docs)
      Y.applyUpdate(other, Y.encodeStateAsUpdate(doc, Y.encodeStateVector(other)), "other")
    }
  }
  updates.push(Y.encodeStateAsUpdate(pick(docs))) // as at a reconnection
  const all = new Y.Doc()
  for (const doc of docs) Y.applyUpdate(all, Y.encodeStateAsUpdate(doc))
  const says = { text: all.getText("text").toString(), list: all.getArray("list").toJSON(), map: all.getMap("map").toJSON() }
  const edits = updates.map((update) => Buffer.from(update).toString("base64"))
  histories.push(JSON.stringify({ says, edits }))
}
console.log(`[\n${histories.join(",\n")}\n]`)
