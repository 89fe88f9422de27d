// Requests to this server. The session is a cookie that no script can read; it comes along by itself.

/** What the server refused, as its problem+json says it. */
export class ApiError extends Error {
  constructor(status, code, detail) {
    super(detail);
    this.status = status;
    this.code = code;
  }
}

const gone = new EventTarget();

/** Calls `listener` whenever a request is refused because the session has ended. */
export function onLoggedOut(listener) {
  gone.addEventListener("ended", listener);
}

async function call(method, path, body, signal) {
  const request = { method, signal, headers: { Accept: "application/json" }, credentials: "same-origin" };
  if (body !== undefined) {
    request.headers["Content-Type"] = "application/json";
    request.body = JSON.stringify(body);
  }
  let answer;
  try {
    answer = await fetch(path, request);
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new ApiError(0, "unreachable", "The server does not answer.");
  }
  if (answer.status === 204) return null;
  const text = await answer.text();
  let value;
  try {
    value = JSON.parse(text);
  } catch {
    throw new ApiError(answer.status, "no_json", `The answer is no JSON (${answer.status}).`);
  }
  if (!answer.ok) {
    if (answer.status === 401 && path !== "/api/session") gone.dispatchEvent(new Event("ended"));
    throw new ApiError(answer.status, value.code ?? "", value.detail ?? answer.statusText);
  }
  return value;
}

/** `api.get("/api/channels", { prefix })`; a value that is null, undefined or empty is left out. */
export const api = {
  get(path, query = {}, signal = undefined) {
    const given = Object.entries(query).filter(([, value]) => value !== undefined && value !== null && value !== "");
    const search = new URLSearchParams(given).toString();
    return call("GET", search ? `${path}?${search}` : path, undefined, signal);
  },
  post: (path, body = {}) => call("POST", path, body),
  put: (path, body = {}) => call("PUT", path, body),
  patch: (path, body = {}) => call("PATCH", path, body),
  delete: (path) => call("DELETE", path),
};
