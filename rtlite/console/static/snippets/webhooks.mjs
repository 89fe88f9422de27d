import { createHmac, timingSafeEqual } from "node:crypto";
import { createServer } from "node:http";

const secret = Buffer.from(process.env.WEBHOOK_SECRET.replace("whsec_", ""), "base64"); // POST /api/webhooks told it

function genuine(headers, body) {
  const signed = `${headers["webhook-id"]}.${headers["webhook-timestamp"]}.${body}`;
  const wanted = createHmac("sha256", secret).update(signed).digest();
  const signatures = headers["webhook-signature"].split(" ").map((text) => Buffer.from(text.split(",")[1], "base64"));
  return signatures.some((given) => given.length === wanted.length && timingSafeEqual(given, wanted));
}

createServer(async (request, response) => {
  let body = "";
  for await (const piece of request.setEncoding("utf8")) body += piece;
  if (!genuine(request.headers, body)) return response.writeHead(401).end();
  console.log("Event:", JSON.parse(body));
  response.writeHead(204).end();
}).listen(3000, () => console.log("waiting on http://127.0.0.1:3000/hook"));
