"""What does a MariaDB connection's dsn say? Where the server is, how to trust it, and who reads its catalogue.

A dsn is a secret as a whole: nothing of it is ever quoted.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import Final
from urllib.parse import parse_qsl, unquote, urlsplit

from sandbox.leases.servers import Dsn, Server, is_local
from sandbox.leases.sources import Secret

_SCHEMES: Final = ("mysql", "mariadb")
_PORT: Final = 3306
_OPTIONS: Final = frozenset({"ssl-mode", "ssl-ca", "socket"})
_MODES: Final = ("verify_identity", "disabled")


def parse_mysql_dsn(text: str) -> Dsn:
    """Take a dsn apart; raises `ValueError` with what is wrong, and none of the dsn itself."""
    try:
        url = urlsplit(text)
        port = url.port or _PORT
        said = parse_qsl(url.query, keep_blank_values=True, strict_parsing=bool(url.query))
    except ValueError:
        raise ValueError("is a URL that cannot be read; special characters are %-escaped") from None
    if url.scheme not in _SCHEMES or url.fragment:
        raise ValueError("is no `mysql://USER:PASSWORD@HOST:PORT/DATABASE` URL")
    options = dict(said)
    if len(options) != len(said):
        raise ValueError("says an option twice")
    if unknown := sorted(options.keys() - _OPTIONS):
        raise ValueError(f"sets `{unknown[0]}`, which a dsn of a connection may not")
    parts = {"host": url.hostname or "", "database": unquote(url.path.removeprefix("/")), "user": url.username or ""}
    if missing := sorted(name for name, value in parts.items() if not value):
        raise ValueError(f"does not say its `{missing[0]}`")
    if "`" in parts["database"] or not parts["database"].isprintable():
        raise ValueError("names a database that no connection can have: no backtick and no control character")
    mode = options.get("ssl-mode", "").lower()
    if mode and mode not in _MODES:
        raise ValueError(f"has an `ssl-mode` other than `{_MODES[0]}` and `{_MODES[1]}`")
    if "ssl-ca" in options and mode != _MODES[0]:
        raise ValueError(f"has an `ssl-ca` that nothing looks at; with it goes `ssl-mode={_MODES[0]}`")
    if not mode and not is_local(parts["host"]):
        message = f"names a server elsewhere and no `ssl-mode`; `?ssl-mode={_MODES[0]}` is accepted, `{_MODES[1]}` says"
        raise ValueError(f"{message} openly that the network is trusted")
    parameters = {"host": parts["host"], "port": str(port), "database": parts["database"], **options, "ssl-mode": mode}
    password = None if url.password is None else Secret(unquote(url.password))
    return Dsn(Server(MappingProxyType(parameters)), unquote(parts["user"]), password)
