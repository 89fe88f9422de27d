"""A blog of plain files, and rtlite beside it. Run it: python serve.py [PORT [PORT_OF_RTLITE]]"""

import json
import re
import sys
from contextlib import suppress
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import rtlite

HERE = Path(__file__).parent
SITE = HERE / "site"
PORT = int(sys.argv[1]) if sys.argv[1:] else 8080
LIVE_PORT = int(sys.argv[2]) if sys.argv[2:] else 8000
AUTHOR = "ann"
YEAR = 365 * 24 * 3600


def start() -> rtlite.Started:
    return rtlite.start(
        HERE / "blog.db",
        port=LIVE_PORT,
        allowed_origins=[f"http://127.0.0.1:{PORT}", f"http://localhost:{PORT}"],
        jwt_max_lifetime=0,  # the readers' token stands in a file
        channels={"comments": {"retention_age": "3650d"}},
    )


def announce_articles(live: rtlite.Started) -> None:
    """rtlite counts views and reactions of the articles that it knows."""
    known = {article["slug"] for article in live.call("GET", "/blog/v1/articles")["items"]}
    for file in SITE.glob("*.html"):
        text = file.read_text()
        title = re.search("<title>(.*)</title>", text)
        if title and "/blog/embed.js" in text and file.stem not in known:
            live.call("POST", "/blog/v1/articles", {"slug": file.stem, "title": title[1], "author": AUTHOR})


def write_settings(live: rtlite.Started) -> None:
    """What the pages have to know. Everyone gets this token: comments are all that it can write."""
    token = live.token("reader", subscribe=["comments:*"], publish=["comments:*"], ttl=10 * YEAR)
    (SITE / "settings.js").write_text(f"const live = {json.dumps({'url': live.url, 'token': token})}\n")


if __name__ == "__main__":
    with start() as live:
        announce_articles(live)
        write_settings(live)
        print(f"open http://127.0.0.1:{PORT}", flush=True)
        token = live.token(AUTHOR, subscribe=["comments:*"], ttl=YEAR)
        print(f"the author's page: http://127.0.0.1:{PORT}/author.html#{token}", flush=True)
        site = ThreadingHTTPServer(("127.0.0.1", PORT), partial(SimpleHTTPRequestHandler, directory=SITE))
        with site, suppress(KeyboardInterrupt):
            site.serve_forever()
