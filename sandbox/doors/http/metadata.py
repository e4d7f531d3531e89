"""What does a client learn that knows nothing yet? The OAuth protected resource metadata (RFC 9728)."""

from __future__ import annotations

import json
from typing import Final

from sandbox.deployment import Misconfigured
from sandbox.identity.bearer import BearerRule
from sandbox.presence import parsed_address
from sandbox.settings import HttpSettings
from sandbox.values import JsonObject

WELL_KNOWN: Final = "/.well-known/oauth-protected-resource"
MCP_PATH: Final = "/mcp"


def resource_of(address: str, settings: HttpSettings) -> str:
    """Return the URL of the MCP endpoint as clients know it."""
    return (settings.public_url.rstrip("/") or f"https://{address}") + MCP_PATH


def metadata_json(address: str, settings: HttpSettings) -> bytes:
    """Return the document."""
    document: JsonObject = {
        "resource": resource_of(address, settings),
        "resource_name": "sandbox",
        "bearer_methods_supported": ["header"],
        "tls_client_certificate_bound_access_tokens": not settings.bearer_tokens,
    }
    servers: JsonObject = {"authorization_servers": [*settings.authorization_servers]}
    return json.dumps({**document, **servers} if settings.authorization_servers else document).encode()


def bearer_rule(settings: HttpSettings) -> BearerRule | None:
    """Return what a bearer token must be; None where none is accepted.

    Raises `Misconfigured` where they are turned on and nobody can tell beforehand for which resource they are.
    """
    if not settings.bearer_tokens:
        return None
    if not settings.listen:
        raise Misconfigured("`http.bearer_tokens` needs the HTTP door; set `http.listen`")
    host, port = parsed_address(settings.listen, "http.listen")
    if not (port or settings.public_url):
        message = "`http.bearer_tokens` needs `http.public_url`, or a port in `http.listen` that is not 0"
        raise Misconfigured(f"{message}: a bearer token names its resource")
    return BearerRule(resource_of(f"{host}:{port}", settings), settings.bearer_minutes * 60)


def challenge(address: str, settings: HttpSettings, error: str) -> bytes:
    """Return the value of `WWW-Authenticate` for a request without a token that holds (RFC 6750, RFC 9728)."""
    base = settings.public_url.rstrip("/") or f"https://{address}"
    told = f', error="{error}"' if error else ""
    return f'Bearer resource_metadata="{base}{WELL_KNOWN}{MCP_PATH}"{told}'.encode()
