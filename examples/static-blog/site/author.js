// The author's news, as one stream: reactions and milestones, and the comments on all articles.
const token = location.hash.slice(1) // what stands behind # goes to no server
const { sub: user } = JSON.parse(atob(token.split(".")[1]?.replaceAll("-", "+").replaceAll("_", "/") ?? "e30="))
const status = document.querySelector("[role=status]")
const texts = {
	comment: ({ author, body }, channel) => `${author} on ${channel.replace("comments:", "")}: ${body}`,
	article_reaction: ({ reaction, articleSlug }) => `${reaction} for ${articleSlug}`,
	milestone: ({ milestone, articleSlug }) => `${articleSlug} has ${milestone} views`,
}

const channels = `channel=notifications:${user}&channel=comments:*`
const source = new EventSource(`${live.url}/sse?${channels}&since=30d&token=${token}`)
source.onmessage = ({ data: message }) => {
	const { channel, event, data } = JSON.parse(message)
	const textContent = texts[event]?.(data ?? {}, channel) ?? event
	document.getElementById("news").prepend(Object.assign(document.createElement("li"), { textContent }))
}
source.onopen = () => (status.textContent = "")
source.onerror = () =>
	(status.textContent = source.readyState === EventSource.CLOSED ? "This address does not hold." : "Connecting …")
