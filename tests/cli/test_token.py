from __future__ import annotations

import jwt

from rtlite.settings import DEV_JWT_SECRET


def test_with_dev_a_token_is_signed_without_any_server(invoke):
    result = invoke("token", "--dev", "--user", "alice", "--role", "collab", "--publish", "chat:*", "--bare")
    claims = jwt.decode(result.stdout.strip(), DEV_JWT_SECRET, algorithms=["HS256"])
    assert (claims["sub"], claims["role"], claims["publish"]) == ("alice", "collab", ["chat:*"])
    assert claims["exp"] - claims["iat"] == 3600


def test_a_pattern_that_is_none_is_wrong_usage(invoke):
    for name in ("a:b:*", "room*"):
        refused = invoke("token", "--dev", "--user", "alice", "--subscribe", name)
        assert refused.exit_code == 2 and f"{name!r} is no pattern" in refused.stderr
    assert invoke("token", "--dev", "--user", "alice", "--subscribe", "*", "--publish", "room:*").exit_code == 0
