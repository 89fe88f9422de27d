const url = "http://127.0.0.1:8000/api/channels/changes:product/history";
const headers = { "X-Api-Key": "pk_live_dev" };

let since = "0s"; // from now on; "2h" would begin two hours ago
while (true) {
  const answer = await fetch(`${url}?since=${encodeURIComponent(since)}&wait=25s`, { headers });
  if (!answer.ok) throw new Error((await answer.json()).detail);
  const { items, next, recovered } = await answer.json();
  if (!recovered) console.log("part of it is not kept any more");
  for (const { event, data } of items) console.log("Event:", event, data);
  since = next;
}
