"""A hospital's sign-on, on this machine: OpenID Connect's discovery, authorisation, token and keys, for one physician who is always signed in."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

from joserfc import jwt
from joserfc.jwk import RSAKey

CLIENT, SECRET = "blindstrip", "a secret of the two"


@dataclass
class Provider:
    """claims: what it says of the physician beside what every token has; signed_by: the key of its tokens, which may be somebody else's."""

    url: str = ""
    claims: dict[str, Any] = field(default_factory=dict)
    key: RSAKey = field(default_factory=lambda: RSAKey.generate_key(2048, {"kid": "one", "use": "sig", "alg": "RS256"}))
    signed_by: RSAKey | None = None
    nonces: dict[str, str] = field(default_factory=dict)  # by code

    def answer(self, path: str, asked: dict[str, str]) -> dict[str, Any] | str:
        """What it says as JSON, or where it sends the browser."""
        if path == "/.well-known/openid-configuration":
            ends = {"authorization_endpoint": "authorize", "token_endpoint": "token", "jwks_uri": "keys"}
            known = {"response_types_supported": ["code"], "subject_types_supported": ["public"], "id_token_signing_alg_values_supported": ["RS256"]}
            return {"issuer": self.url, "code_challenge_methods_supported": ["S256"], **known, **{k: f"{self.url}/{v}" for k, v in ends.items()}}
        if path == "/authorize":
            code = f"code{len(self.nonces)}"
            self.nonces[code] = asked["nonce"]
            return f"{asked['redirect_uri']}?{urlencode({'code': code, 'state': asked['state']})}"
        if path == "/token":
            moment = int(time.time())
            every = {"iss": self.url, "aud": CLIENT, "sub": "4711", "iat": moment, "exp": moment + 300}
            told = every | {"nonce": self.nonces[asked["code"]]} | self.claims
            token = jwt.encode({"alg": "RS256", "kid": "one"}, told, self.signed_by or self.key)
            return {"access_token": "x", "token_type": "Bearer", "expires_in": 300, "id_token": token}
        return {"keys": [self.key.as_dict(private=False)]}


@contextmanager
def provider() -> Iterator[Provider]:
    at_work = Provider()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked = self.rfile.read(int(self.headers.get("content-length") or 0)).decode() or urlsplit(self.path).query
            told = at_work.answer(urlsplit(self.path).path, {name: values[0] for name, values in parse_qs(asked).items()})
            body = b"" if isinstance(told, str) else json.dumps(told).encode()
            self.send_response(302 if isinstance(told, str) else 200)
            self.send_header("location", told) if isinstance(told, str) else self.send_header("content-type", "application/json")
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        do_POST = do_GET

        def log_message(self, *_anything: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        at_work.url = f"http://127.0.0.1:{server.server_address[1]}"
        Thread(target=server.serve_forever, daemon=True).start()
        yield at_work
        server.shutdown()
