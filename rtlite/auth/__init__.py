"""Who are you, and what may you: every credential becomes an identity, and one table says what it may.

gate.py         a secret and an address in, an identity out, or a refusal
keyring.py      API keys, in memory by digest, on disk as digests only
tokens.py       JWTs: our own policy around PyJWT's signatures
claims.py       what a token must claim, and whom it describes
jwks.py         the keys of whoever else signs tokens, fetched and cached
public_keys.py  reading such keys: only what fits the algorithm
tickets.py      single-use stand-ins for a credential, short enough for a URL
logins.py       the console's sessions: a cookie in place of an admin key
grants.py       the table: which identity may read and write which channel
origins.py      which web pages may connect
throttle.py     token buckets: failed logins, publishes, commands
"""
