// Live views and reactions
(async script => {
	const { slug, label = "Views: ", reactions = "👍,❤️" } = script.dataset
	const api = script.src.replace(/[^/]*$/, "v1/articles/" + slug)
	const now = { viewCount: "…", reactions: {} }, buttons = {}
	let mine = {}, delay = 500

	const call = (to, body) => fetch(api + to, body && { method: "POST", body: JSON.stringify(body) })
		.then(reply => reply.ok && reply.json()).catch(() => 0)
	const make = (tag, more) => Object.assign(document.createElement(tag), more)
	const box = make("span", { className: "rtlite", ariaLive: "polite" }), views = box.appendChild(make("output"))
	const show = news => {
		Object.assign(now, news)
		views.textContent = label + now.viewCount.toLocaleString()
		for (const name in buttons) {
			buttons[name].textContent = `${name} ${now.reactions[name] || 0}`
			buttons[name].ariaPressed = !!mine[api + name]
		}
	}

	try {
		const css = new CSSStyleSheet()
		css.replaceSync(`:where(.rtlite button){font:inherit;color:inherit;background:#8882;border:0;border-radius:1em;padding:.2em .5em;&[aria-pressed=true]{background:#39f9}}`)
		document.adoptedStyleSheets.push(css)
		mine = localStorage
	} catch (e) {}
	for (const name of reactions.split(/[ ,]+/)) {
		const onclick = async () => {
			const remove = !!mine[api + name]
			if (await call("/reactions", { reaction: name, remove })) mine[api + name] = remove ? "" : 1
			show()
		}
		box.append(" ", buttons[name] = make("button", { type: "button", onclick }))
	}
	show()
	script.after(box)

	await call("/views", {})
	while (box.isConnected) {
		show(await call(""))
		const { ticket } = await call("/ticket", {})
		const url = api.replace("http", "ws").replace("blog/v1", "blog/ws") + "?since=9s&token=" + ticket
		if (ticket) await new Promise(onclose => Object.assign(new WebSocket(url), {
			onclose,
			onmessage: ({ data }) => show(JSON.parse(data), delay = 500)
		}))
		await new Promise(done => setTimeout(done, Math.random() * (delay = Math.min(delay * 2, 3e4))))
	}
})(document.currentScript)
