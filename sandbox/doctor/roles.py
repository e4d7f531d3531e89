"""Which roles does the script make beside the tools' logins? Nobody can log in as any of them."""

from __future__ import annotations

import re
from typing import Final

OWNER: Final = "sandbox_owner"
"""Owns the schema `sandbox`: the claims' key, the functions, the canary."""
VIEWS_OWNER: Final = "sandbox_views"
"""Owns every view; may read exactly the columns that they read."""
FORMER_PUBLIC: Final = "sandbox_public"
"""Holds what the script took from PUBLIC. Every role that was there before is its member and so keeps it."""
SCHEMA: Final = "sandbox"
SHAPE: Final = re.compile(r"sandbox_[0-9a-f]{12}")
"""The name of a grant shape's login, and of the schema with its views."""
COMMENT: Final = "set up by the sandbox for its connection {}"
"""On the schema `sandbox` and on every login."""
CONNECTION_LIMIT: Final = 64
"""Sessions of one login: more than all workers of a service keep together, with room for a self-test, and fewer than
would fill a server. A login that has them all is let in again later."""
LOGIN_SETTINGS: Final = (
    ("default_transaction_read_only", "on"),
    ("search_path", "pg_catalog"),
    ("statement_timeout", "60s"),
    ("idle_in_transaction_session_timeout", "60s"),
    ("lock_timeout", "5s"),
)
"""How a login's session begins. Defaults, no walls: a session may set them anew, which is why nothing rests on them."""
SUPERUSER_SETTINGS: Final = (("temp_file_limit", "256MB"),)
"""The same, but only a superuser may set these, for a login as well, and no session can undo them."""
