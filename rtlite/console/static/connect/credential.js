// What a snippet and a try-out present. With --dev that is one of the fixed keys; else a token, or where that is not
// enough a key, which is made on a click, for ten minutes and for no more than the try-out needs.

const LIFETIME = "10m";
const FRESH = 9 * 60_000; // ms; then a connection that begins gets a new one

export class Credential extends EventTarget {
  /** `key` is that of --dev, if there is one for this protocol; else `rights` are a token's, or `kind` is a key's. */
  constructor(context, { key = null, rights = {}, kind = null }) {
    super();
    this.context = context;
    this.user = context.dev ? "dev" : "console";
    this.known = context.dev ? key : null;
    this.fixed = this.known !== null;
    this.until = Infinity;
    this.kind = kind;
    this.rights = rights;
  }

  /** What to present; it is made if there is none yet, or an old one. */
  async secret() {
    if (this.known === null || Date.now() > this.until) await this.renew();
    return this.known;
  }

  /** Makes a new one; who listens to "change" is told. */
  async renew() {
    const { api } = this.context;
    if (this.kind === null) {
      const answer = await api.post("/api/tokens", { user: this.user, ttl: LIFETIME, ...this.rights });
      this.known = answer.token;
    } else {
      const name = "the console's try-out";
      const answer = await api.post("/api/keys", { kind: this.kind, user: this.user, expires: LIFETIME, name });
      this.known = answer.key;
    }
    this.until = Date.now() + FRESH;
    this.dispatchEvent(new Event("change"));
  }

  /** `apiKey=…` or `token=…`, for a URL. */
  async query() {
    const secret = await this.secret();
    return `${secret.startsWith("pk_") ? "apiKey" : "token"}=${encodeURIComponent(secret)}`;
  }
}
