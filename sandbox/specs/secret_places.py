"""Where does a secret lie? In a variable, a file of its own, or a vault: `connections.toml` goes into the log."""

from __future__ import annotations

import ipaddress
import os
import re
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Final, final

from sandbox.reasons import quoted
from sandbox.settings import VaultSettings
from sandbox.specs.findings import suggestion
from sandbox.specs.urls import split_url
from sandbox.toolspec import EnvSecret, FileSecret, SecretSource, VaultSecret, VaultServer

KINDS: Final = ("env", "file", "vault")

_VARIABLE: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,127}")
_IN_A_VAULT: Final = re.compile(
    r"((?:[A-Za-z0-9_-][A-Za-z0-9_.-]{0,127}/){1,15}[A-Za-z0-9_-][A-Za-z0-9_.-]{0,127})#([\w.-]{1,128})"
)


@final
@dataclass(frozen=True, slots=True)
class SecretPlaces:
    """The places of one deployment where secrets may lie."""

    root: Path
    """The deployment's folder, which paths are relative to."""
    vault: VaultSettings

    def source(self, kind: str, where: object, what: str) -> tuple[SecretSource | None, str]:
        """Return the source, and what is wrong with it or nothing; it calls it `what` and tells no secret."""
        match kind:
            case "env" if isinstance(where, str) and _VARIABLE.fullmatch(where):
                return EnvSecret(where), ""
            case "env":
                return None, f"{what}: `env` takes the name of a variable; letters, digits and `_` are accepted"
            case "file" if isinstance(where, str) and where and where.isprintable():
                path = self.root.absolute() / where
                return FileSecret(os.path.normpath(path)), _open_to_others(
                    path, f"{what}: the file {quoted(where, 200)}"
                )
            case "file":
                return None, f"{what}: `file` takes the path of a file, relative to the deployment or absolute"
            case "vault":
                return self._in_vault(where, what)
            case _:
                return None, f"{what} lies in {quoted(kind)}{suggestion(kind, KINDS)}"

    def _in_vault(self, where: object, what: str) -> tuple[SecretSource | None, str]:
        named = _IN_A_VAULT.fullmatch(where) if isinstance(where, str) and where.isascii() else None
        if named is None:
            accepted = "`PATH#FIELD`, such as `secret/data/crm#token`, is accepted"
            return None, f"{what}: `vault` takes the path of an entry and one field of it; {accepted}"
        server, complaint = self._server()
        if server is None:
            return None, f"{what} lies in a vault, and `vault.address` of sandbox.toml {complaint}"
        return VaultSecret(server, named[1], named[2]), ""

    def _server(self) -> tuple[VaultServer | None, str]:
        settings = self.vault
        if not settings.address:
            return None, "says none; `https://HOST:PORT` is accepted"
        complaint, url = split_url(settings.address)
        if url is None:
            return None, complaint
        if url.path:
            return None, "has a path; `https://HOST:PORT` is accepted"
        if url.scheme == "http" and not _is_loopback(url.host):
            return None, "is plain HTTP to another machine; `https://`, or `http://127.0.0.1:PORT`, is accepted"
        return (
            VaultServer(
                scheme=url.scheme,
                host=url.host,
                port=url.port,
                namespace=settings.namespace,
                approle=settings.approle,
                role_id=self.absolute(settings.role_id_file),
                secret_id=self.absolute(settings.secret_id_file),
                ca=self.absolute(settings.ca) if settings.ca else None,
            ),
            "",
        )

    def absolute(self, path: str) -> str:
        """Return a path that an operator wrote, absolute."""
        return os.path.normpath(self.root.absolute() / path)


def _is_loopback(host: str) -> bool:
    """Whether a host is an address of this machine; a name could lead elsewhere."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _open_to_others(path: Path, what: str) -> str:
    """Say whether others than its owner can read a file; one that is not there is told when it is needed."""
    try:
        mode = stat.S_IMODE(path.stat().st_mode)
    except OSError:
        return ""
    return f"{what} has mode {mode:04o}, which lets others read it; only 0600 is accepted" if mode & 0o077 else ""
