"""The hospital's single sign-on: Streamlit's OpenID Connect (what st.login uses), as .streamlit/secrets.toml configures it.

It says who somebody is; study.sign_in decides whether they are anybody here.
"""

from __future__ import annotations

import json
from typing import Any

from starlette.requests import Request
from starlette.responses import Response
from streamlit import auth_util
from streamlit.errors import StreamlitAuthError
from streamlit.web.server.server_util import get_cookie_secret
from streamlit.web.server.starlette.starlette_app_utils import decode_signed_value
from streamlit.web.server.starlette.starlette_server_config import TOKENS_COOKIE_NAME, USER_COOKIE_NAME

from study.errors import SignInRefused

PUBLIC = frozenset({"/auth/login", "/oauth2callback"})  # Streamlit's own routes: out to the provider, and back
_ONLY = "default"  # Streamlit's name for a provider that stands in [auth] itself


def hospitals() -> list[str]:
    """The providers that are configured: the names of the [auth.NAME] sections, or the one of [auth] itself."""
    section = auth_util.get_secrets_auth_section()
    named = sorted(name for name, value in section.to_dict().items() if isinstance(value, dict) and "client_id" in value)
    return named or ([_ONLY] if "client_id" in section else [])


def way(hospital: str) -> str:
    """Where a browser goes to sign in there. Raises SignInRefused for one that is not configured, or not well."""
    known = hospitals()
    name = hospital or (known[0] if len(known) == 1 else "")
    if name not in known:
        raise SignInRefused("This hospital has no sign-on here. Sign in with your user name and password.")
    try:
        auth_util.validate_auth_credentials(name)
    except StreamlitAuthError as error:
        raise SignInRefused(f"Your hospital's sign-on is not set up well. For whoever runs this server: {' '.join(str(error).split())}") from error
    return f"/auth/login?provider={auth_util.encode_provider_token(name)}"


def is_back(request: Request) -> bool:
    """Whether the browser comes from a provider."""
    return USER_COOKIE_NAME in request.cookies


def told(request: Request) -> dict[str, Any]:
    """The claims that the provider made, from Streamlit's signed cookie; none if it is not Streamlit's."""

    def one(name: str) -> bytes | None:
        value = request.cookies.get(name)
        return None if value is None else decode_signed_value(get_cookie_secret(), name, value.encode("latin-1", "replace"))

    found = auth_util.get_cookie_with_chunks(one, USER_COOKIE_NAME)
    claims = json.loads(found) if found else {}
    return claims if isinstance(claims, dict) else {}


def forget(request: Request, answer: Response) -> None:
    """Streamlit's cookies would say for 30 days who this is: our own sign-in, which can be ended, takes their place."""
    for name in request.cookies:
        if name.startswith((USER_COOKIE_NAME, TOKENS_COOKIE_NAME)):
            answer.delete_cookie(name)
