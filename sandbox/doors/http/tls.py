"""With which certificate does the HTTP door answer, and whom does it let in? As the files say at each handshake."""

from __future__ import annotations

import ssl
from pathlib import Path
from typing import final

from sandbox.deployment import Deployment, Misconfigured, read_private


@final
class Contexts:
    """Mutual TLS that follows the files `pki/server.pem`, `server.key` and `ca.pem`."""

    def __init__(self, deployment: Deployment, *, needs_certificate: bool = True) -> None:
        """Read the files; raises `Misconfigured` for a key that others can read or files that do not hold together.

        Every peer is asked for a certificate, and one that is presented must be of our CA; without
        `needs_certificate` a peer may have none.
        """
        self._verify = ssl.CERT_REQUIRED if needs_certificate else ssl.CERT_OPTIONAL
        self._paths = (deployment.pki / "server.pem", deployment.pki / "server.key", deployment.pki / "ca.pem")
        self._seen = _stamp(self._paths)
        self._newest = self._read()
        self.first = self._newest
        """To listen with; each handshake goes on with the newest."""
        self.first.sni_callback = self._take_newest

    def _take_newest(self, connection: ssl.SSLObject, _name: str | None, _first: ssl.SSLContext) -> None:
        """Go on with files that have changed since; with the last good ones where they cannot be read."""
        try:
            now = _stamp(self._paths)
            if now != self._seen:
                self._newest = self._read()
                self._seen = now  # only now: files that cannot be read yet are read again
        except (OSError, Misconfigured):
            pass
        connection.context = self._newest

    def _read(self) -> ssl.SSLContext:
        certificate, key, ca = self._paths
        read_private(key)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.minimum_version = ssl.TLSVersion.TLSv1_3
        context.num_tickets = 0  # WHY: one would be believed for two hours, whatever has become of the authority
        context.verify_mode = self._verify
        try:
            context.load_cert_chain(certificate, key)
            context.load_verify_locations(ca)
        except (ssl.SSLError, OSError) as error:
            names = ", ".join(path.name for path in self._paths)
            message = f"{certificate.parent}: {names} do not hold together: {error.strerror or error}"
            raise Misconfigured(f"{message}; `sandbox cert renew` signs the key anew") from error
        context.set_alpn_protocols(["http/1.1"])
        return context


def _stamp(paths: tuple[Path, ...]) -> tuple[tuple[int, int, int], ...]:
    facts = (path.stat() for path in paths)
    return tuple((fact.st_mtime_ns, fact.st_ino, fact.st_size) for fact in facts)
