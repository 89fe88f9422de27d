// Live views and reactions
(async script => {
	const { slug, label = "Views", reactions = "👍,❤️" } = script.dataset
	const api = script.src.replace(/embed.js.*/, "v1/articles/" + slug)
	const now = { viewCount: "…", reactions: {} }, buttons = {}
	let mine = {}, delay = 1e3, queue

	const call = (path, body) => fetch(api + path, body && { method: "POST", body: JSON.stringify(body) })
		.then(reply => reply.ok && reply.json()).catch(() => {})
	const make = (tag, more) => Object.assign(document.createElement(tag), more)
	const box = make("span", { className: "rtlite", ariaLive: "polite" })
	const views = box.appendChild(make("output"))
	const show = news => {
		Object.assign(now, news)
		views.textContent = `${label}: ${now.viewCount.toLocaleString()}`
		for (const name in buttons) {
			buttons[name].textContent = `${name} ${now.reactions[name] || 0}`
			buttons[name].ariaPressed = !!mine[api + name]
		}
	}

	try {
		const css = new CSSStyleSheet()
		css.replaceSync(":where(.rtlite button){font:inherit;&[aria-pressed=true]{background:#8cf}}")
		document.adoptedStyleSheets.push(css)
		mine = localStorage
	} catch (e) {}
	for (const name of reactions.split(",")) {
		const onclick = () => queue = queue.catch(show).then(async () => {
			const remove = !!mine[api + name]
			if (await call("/reactions", { reaction: name, remove })) mine[api + name] = remove ? "" : 1
			show()
		})
		box.append(" ", buttons[name] = make("button", { type: "button", onclick }))
	}
	show()
	script.after(box)

	await (queue = call("/views", {}))
	while (box.isConnected) {
		try {
			show(await call(""))
			const { ticket } = await call("/ticket", {})
			const socket = new WebSocket(api.replace("http", "ws").replace("blog/v1", "blog/ws") + "?since=9s&token=" + ticket)
			socket.onmessage = ({ data }) => show(JSON.parse(data), delay = 1e3)
			await new Promise(done => socket.onclose = done)
		} catch (e) {}
		await new Promise(done => setTimeout(done, delay * Math.random()))
		delay = Math.min(delay * 2, 3e4)
	}
})(document.currentScript)
