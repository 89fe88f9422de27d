// Shows what a script prints: the last hour, and then each line as it comes. Both outputs come as one stream, in order.
const { token } = document.currentScript.dataset
const output = document.querySelector("[role=log]"), status = document.querySelector("[role=status]")
const channels = "channel=stream:nightly&channel=stream:nightly:errors"
const source = new EventSource(`/sse?${channels}&since=1h&token=${token}`)

source.onmessage = ({ data: message }) => {
	const { channel, event, data } = JSON.parse(message)
	const atEnd = output.scrollTop + output.clientHeight >= output.scrollHeight - 5
	const line = output.firstChild.appendChild(document.createElement("li"))
	if (event === "exit") {
		line.className = "exit"
		line.textContent = data.signal ? `ended by ${data.signal}` : `exit code ${data.code}`
	} else {
		if (channel.endsWith(":errors")) line.className = "error"
		line.textContent = typeof data === "string" ? data : JSON.stringify(data)
	}
	if (atEnd) output.scrollTop = output.scrollHeight
}
// It comes back by itself, and goes on where it was.
source.onopen = () => (status.textContent = "")
source.onerror = () =>
	(status.textContent = source.readyState === EventSource.CLOSED ? "Reload the page." : "Connecting …")
