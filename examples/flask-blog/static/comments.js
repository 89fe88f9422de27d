// Adds the comments that come while the page is open. EventSource comes back by itself, and goes on where it was.
{
	const { live, slug, now, token } = document.currentScript.dataset
	const source = new EventSource(`${live}/sse/comments:${slug}?since=${encodeURIComponent(now)}&token=${token}`)
	source.onmessage = ({ data: message }) => {
		const { id, author, body } = JSON.parse(message).data
		if (document.getElementById(`comment-${id}`)) return // the page had it already
		const make = (tag, text) => Object.assign(document.createElement(tag), { textContent: text })
		const item = Object.assign(document.createElement("li"), { id: `comment-${id}` })
		item.append(make("b", author), make("p", body))
		document.getElementById("comments").append(item)
	}
}
