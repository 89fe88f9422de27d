// Follows a job: all that happened to it, and then whatever does. The data of each event is the job.
const { job, token } = document.currentScript.dataset
const [bar, status, link] = ["progress", "#status", "#link"].map(name => document.querySelector(name))
const source = new EventSource(`/sse/jobs:${job}?since=30d&token=${token}`)

source.onmessage = ({ data }) => {
	const { progress, status: now, result } = JSON.parse(data).data
	bar.value = progress ?? 0
	status.textContent = now === "running" ? `${Math.floor(progress)} %` : result ? `${now}: ${result.rows} rows` : now
	if (["completed", "failed", "cancelled"].includes(now)) source.close()
}
// It comes back by itself, and goes on where it was.
source.onopen = () => (link.textContent = "")
source.onerror = () => (link.textContent = source.readyState === EventSource.CLOSED ? "Reload the page." : "Connecting …")
