import { el } from "../dom.js";

export async function show(root, context) {
  root.append(el("h1", {}, "Publish"));
  return () => {};
}
