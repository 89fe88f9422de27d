// Shows an answer: what there is of it, and then each token as it comes.
const { id, token } = document.currentScript.dataset
const [question, answer, state] = ["question", "answer", "state"].map(name => document.getElementById(name))
const source = new EventSource(`/sse/answer:${id}?since=365d&token=${token}`)

source.onmessage = ({ data: message }) => {
	const { event, data } = JSON.parse(message)
	if (event === "question") question.textContent = document.title = data.text
	if (event === "token") answer.append(data.text)
	if (event === "end") {
		source.close()
		answer.ariaBusy = "false" // a screen reader reads the answer now, and not word by word
		state.textContent = data.status === "completed" ? "" : `The answer is not complete: ${data.status}.`
	}
}
// When the link breaks it comes back by itself, and goes on behind the last event that it got.
source.onopen = () => (state.textContent = "Writing …")
source.onerror = () =>
	(state.textContent = source.readyState === EventSource.CLOSED ? "Reload the page." : "Connecting …")
