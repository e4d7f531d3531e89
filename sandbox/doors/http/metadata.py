"""What does a client learn that knows nothing yet? The OAuth protected resource metadata (RFC 9728)."""

from __future__ import annotations

import json
from typing import Final

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
        "tls_client_certificate_bound_access_tokens": True,
    }
    return json.dumps(document).encode()


def challenge(address: str, settings: HttpSettings, error: str) -> bytes:
    """Return the value of `WWW-Authenticate` for a request without a token that holds (RFC 6750, RFC 9728)."""
    base = settings.public_url.rstrip("/") or f"https://{address}"
    told = f', error="{error}"' if error else ""
    return f'Bearer resource_metadata="{base}{WELL_KNOWN}{MCP_PATH}"{told}'.encode()
