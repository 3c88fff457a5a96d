"""What every answer of the server tells the browser not to do: load from elsewhere, run other scripts, keep pages, be framed."""

from __future__ import annotations

import base64
import hashlib
import re
from pathlib import Path

import streamlit as st
from starlette.types import ASGIApp, Message, Receive, Scope, Send


def _inline_scripts() -> str:
    """Streamlit's page holds a script of a few lines: the policy names its hash, and no other inline script runs."""
    page = (Path(st.__file__).parent / "static" / "index.html").read_bytes()
    hashes = (hashlib.sha256(script).digest() for script in re.findall(rb"<script>(.*?)</script>", page, re.DOTALL))
    return " ".join(f"'sha256-{base64.b64encode(one).decode()}'" for one in hashes)


SECURITY_HEADERS = {
    "content-security-policy": (
        f"default-src 'self'; script-src 'self' {_inline_scripts()} blob:; style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; "
        "font-src 'self' data:; connect-src 'self'; worker-src 'self' blob:; object-src 'none'; frame-ancestors 'none'; base-uri 'self'; "
        "form-action 'self'"
    ),
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "permissions-policy": "camera=(), microphone=(), geolocation=(), display-capture=(), payment=(), usb=(), serial=(), bluetooth=(), hid=()",
    "cache-control": "no-store",
}
OVER_TLS = {"strict-transport-security": "max-age=31536000"}  # a proxy that ends TLS says so by X-Forwarded-Proto: docs/threat-model.md


class SecurityHeaders:
    """Adds SECURITY_HEADERS to every answer that does not bring its own; Streamlit's script and style files bring how long they may be kept."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                present = {name.lower() for name, _ in message["headers"]}
                ours = {**SECURITY_HEADERS, **(OVER_TLS if scope["scheme"] == "https" else {})}
                extra = [(name.encode(), value.encode()) for name, value in ours.items() if name.encode() not in present]
                message = {**message, "headers": [*message["headers"], *extra]}
            await send(message)

        await self.app(scope, receive, send_with_headers)
