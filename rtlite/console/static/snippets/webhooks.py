import os
from http.server import BaseHTTPRequestHandler, HTTPServer

from standardwebhooks import Webhook, WebhookVerificationError

webhook = Webhook(os.environ["WEBHOOK_SECRET"])  # POST /api/webhooks told it


class Receiver(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        try:
            event = webhook.verify(body, dict(self.headers.items()))
        except WebhookVerificationError:
            self.send_response(401)
        else:
            print("Event:", event, flush=True)
            self.send_response(204)
        self.end_headers()


print("waiting on http://127.0.0.1:3000/hook", flush=True)
HTTPServer(("127.0.0.1", 3000), Receiver).serve_forever()
