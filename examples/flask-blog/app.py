"""A blog in Flask that is live: views, reactions, comments, and a bell for the author.

Run it: python app.py [PORT [PORT_OF_RTLITE]]
"""

import os
import secrets
import sys
from datetime import UTC, datetime
from pathlib import Path

from flask import Flask, abort, redirect, render_template, request, session, url_for

import rtlite

HERE = Path(__file__).parent
PORT = int(sys.argv[1]) if sys.argv[1:] else 5000
LIVE_PORT = int(sys.argv[2]) if sys.argv[2:] else 8000
AUTHOR = "ann"
PASSWORD = os.environ.get("BLOG_PASSWORD") or secrets.token_urlsafe(6)
DAY = 24 * 3600

app = Flask(__name__)
app.config.update(SECRET_KEY=secrets.token_bytes(), SESSION_COOKIE_SAMESITE="Lax")
live = rtlite.start(
    HERE / "blog.db",
    port=LIVE_PORT,
    allowed_origins=[f"http://127.0.0.1:{PORT}", f"http://localhost:{PORT}"],
)
posts = {}
for file in sorted((HERE / "posts").glob("*.txt")):
    title, _, text = file.read_text().partition("\n")
    posts[file.stem] = {"slug": file.stem, "title": title, "paragraphs": text.strip().split("\n\n")}


def announce_articles():
    """rtlite counts views and reactions of the articles that it knows."""
    known = {article["slug"] for article in live.call("GET", "/blog/v1/articles")["items"]}
    for slug in posts.keys() - known:
        live.call("POST", "/blog/v1/articles", {"slug": slug, "title": posts[slug]["title"], "author": AUTHOR})


@app.context_processor
def on_every_page():
    """Where rtlite is and, for the author, a token that reads the author's notifications."""
    author = session.get("user") == AUTHOR
    return {"live": live.url, "author": AUTHOR, "bell": live.token(AUTHOR, ttl=DAY) if author else None}


@app.get("/")
def index():
    counts = {article["slug"]: article["viewCount"] for article in live.call("GET", "/blog/v1/articles")["items"]}
    return render_template("index.html", posts=posts.values(), counts=counts)


@app.get("/posts/<slug>")
def post(slug):
    if slug not in posts:
        abort(404)
    now = datetime.now(UTC).isoformat()  # the page shows the comments until now, and follows those since
    comments = live.call("GET", f"/blog/v1/articles/{slug}/comments")["items"]
    token = live.token("reader", subscribe=[f"comments:{slug}"], ttl=DAY)
    return render_template("post.html", post=posts[slug], comments=comments, now=now, token=token)


@app.post("/posts/<slug>/comments")
def comment(slug):
    try:  # this keeps the comment, and tells the author
        comment = live.call("POST", f"/blog/v1/articles/{slug}/comments", request.form.to_dict())
    except rtlite.Refused as error:
        abort(error.status, error.detail)
    live.publish(f"comments:{slug}", "comment", comment)  # tells the readers
    return redirect(url_for("post", slug=slug, _anchor=f"comment-{comment['id']}"), 303)


@app.route("/login", methods=["GET", "POST"])
def login():
    wrong = request.method == "POST" and not secrets.compare_digest(
        request.form["password"].encode(), PASSWORD.encode()
    )
    if request.method == "GET" or wrong:
        return render_template("login.html", wrong=wrong)
    session["user"] = AUTHOR
    return redirect(url_for("index"), 303)


if __name__ == "__main__":
    announce_articles()
    print(f"open http://127.0.0.1:{PORT} (the author's password is {PASSWORD})", flush=True)
    app.run(port=PORT)
