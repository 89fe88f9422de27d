// A comment is an event on the article's own channel. The page gets all that there are, and then each as it comes.
const channel = `comments:${document.currentScript.dataset.slug}`
const form = document.querySelector("form")
const make = (tag, textContent) => Object.assign(document.createElement(tag), { textContent })

const source = new EventSource(`${live.url}/sse/${channel}?since=3650d&token=${live.token}`)
source.onmessage = ({ data: message }) => {
	const { author, body } = JSON.parse(message).data ?? {} // whoever reads may write: it may be anything
	const item = document.createElement("li")
	item.append(make("b", author), make("p", body))
	document.getElementById("comments").append(item)
}

form.onsubmit = async event => {
	event.preventDefault()
	const comment = { channel, event: "comment", data: Object.fromEntries(new FormData(form)) }
	const headers = { Authorization: `Bearer ${live.token}` }
	const answer = await fetch(`${live.url}/api/publish`, { method: "POST", headers, body: JSON.stringify(comment) })
		.catch(() => ({ ok: false }))
	form.querySelector("[role=status]").textContent = answer.ok ? "" : "It could not be sent. Try again."
	if (answer.ok) form.reset()
}
