// The author's bell: what happened in the last 7 days, and then whatever does. This browser remembers what was seen.
{
	const { live, user, token } = document.currentScript.dataset
	const bell = document.getElementById("bell")
	const [count, list] = [bell.querySelector("output"), bell.querySelector("ol")]
	let unread = 0, last = ""
	const texts = {
		new_comment: ({ comment, articleSlug }) => `${comment.author} on ${articleSlug}: ${comment.body}`,
		article_reaction: ({ reaction, articleSlug }) => `${reaction} for ${articleSlug}`,
		milestone: ({ milestone, articleSlug }) => `${articleSlug} has ${milestone} views`,
		new_subscriber: ({ subscriber }) => `${subscriber.email} subscribed`,
	}
	const show = () => {
		if (bell.open) [unread, localStorage.seen] = [0, last]
		count.textContent = unread
	}
	bell.ontoggle = show

	const source = new EventSource(`${live}/sse/notifications:${user}?since=7d&token=${token}`)
	source.onmessage = ({ data: message, lastEventId }) => {
		const { event, data } = JSON.parse(message)
		list.prepend(Object.assign(document.createElement("li"), { textContent: texts[event]?.(data) ?? event }))
		last = lastEventId
		unread = last === localStorage.seen ? 0 : unread + 1
		show()
	}
}
