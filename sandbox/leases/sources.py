"""Where does a secret lie, and who sees it? Read at use, carried in a wrapper that no message, repr or log can show."""

from __future__ import annotations

import os
import threading
import time
from base64 import b64encode
from pathlib import Path
from typing import Final, NoReturn, assert_never, final

from sandbox.deployment import Misconfigured, read_private
from sandbox.leases.asking import CallBounds
from sandbox.leases.once import Once
from sandbox.leases.vault import VaultRefused, read_vault
from sandbox.reasons import Reason, Refused, quoted
from sandbox.toolspec import EnvSecret, FileSecret, SecretSource, VaultSecret

TELLING: Final = 8
"""Characters of a secret from which on a text that holds it tells it; a shorter one stands in honest texts."""
_MAX_SECRET: Final = 8 * 1024
"""Characters of a secret; what is longer is another file."""

VAULT_S: Final = 10.0
"""For which a vault is waited where no call says how long: three questions of three seconds, and a little."""


@final
class Secret:
    """A text that is shown to whoever asks for it by name, and to nobody else."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        """Wrap `text`."""
        self._text = text

    def reveal(self) -> str:
        """Return the text; for a driver's own parameters alone."""
        return self._text

    def stands_in(self, text: str) -> bool:
        """Whether `text` holds it, plainly or in base64; one so short that honest text holds it is not looked for."""
        if len(self._text) < TELLING:
            return False
        return self._text in text or b64encode(self._text.encode()).decode("ascii").rstrip("=") in text

    def __repr__(self) -> str:
        return "Secret(…)"

    def __reduce__(self) -> NoReturn:
        raise TypeError("a secret is not written anywhere")


@final
class Secrets:
    """Reads the secrets of one generation; those of a vault are remembered for a minute at most."""

    def __init__(self) -> None:
        """Begin without any."""
        self._lock = threading.Lock()
        self._remembered: dict[VaultSecret, tuple[Secret, float]] = {}
        """With until when (`time.monotonic()` seconds); connections name a fixed few."""
        self._once: Once[VaultSecret, Secret] = Once(VaultRefused)

    def read(self, source: SecretSource, what: str, bounds: CallBounds) -> Secret:
        """Read a secret for a call; raises `Refused`, with `EXECUTOR_UNAVAILABLE` unless the call is over."""
        if not isinstance(source, VaultSecret):
            return read_secret(source, what)
        if (known := self._known(source)) is not None:
            return known
        try:
            return self._once.ask(source, lambda: self._known(source) or self._asked(source, bounds), bounds)
        except VaultRefused as refused:
            raise _unavailable(f"{what}: {refused}") from None

    def _known(self, source: VaultSecret) -> Secret | None:
        with self._lock:
            secret, until = self._remembered.get(source, (None, 0.0))
        return secret if time.monotonic() < until else None

    def _asked(self, source: VaultSecret, bounds: CallBounds) -> Secret:
        secret, seconds = _vault(source, bounds)
        with self._lock:
            self._remembered[source] = secret, time.monotonic() + seconds
        return secret


def read_secret(source: SecretSource, what: str, seconds: float = VAULT_S) -> Secret:
    """Read a secret for no call; raises `Refused` with `EXECUTOR_UNAVAILABLE`, which calls it `what`.

    A vault is waited for so many seconds; where it cannot be asked, the refusal has a delay, for that may pass.
    """
    match source:
        case EnvSecret(variable=variable):
            text = os.environ.get(variable, "")
            where = f"the environment variable {quoted(variable)}"
            if not text:
                raise _unavailable(f"{what}: {where} is not set for this process")
        case FileSecret(path=path):
            where = f"the file {quoted(Path(path).name)}"
            text = _file(Path(path), what)
        case VaultSecret():
            return _vault_alone(source, what, seconds)
        case _:
            assert_never(source)
    return _checked(text, f"{what}: {where}")


def _vault_alone(source: VaultSecret, what: str, seconds: float) -> Secret:
    try:
        return _vault(source, CallBounds(time.monotonic() + seconds))[0]
    except VaultRefused as refused:
        raise _unavailable(f"{what}: {refused}", retry_after_s=1.0) from None
    except Refused:
        raise _unavailable(f"{what}: the vault gave no answer in time", retry_after_s=1.0) from None


def _vault(source: VaultSecret, bounds: CallBounds) -> tuple[Secret, float]:
    text, seconds = read_vault(source, bounds)
    try:
        return _checked(text, f"the field {quoted(source.field)} of {quoted(source.path)} in the vault"), seconds
    except Refused as refused:
        raise VaultRefused(refused.message) from None


def _checked(text: str, where: str) -> Secret:
    text = text.strip()
    if not text or len(text) > _MAX_SECRET or not text.isprintable():
        raise _unavailable(f"{where} does not hold one line of at most {_MAX_SECRET} characters")
    return Secret(text)


def _file(path: Path, what: str) -> str:
    try:
        return read_private(path, "secret").decode("utf-8")
    except Misconfigured as error:
        raise _unavailable(f"{what}: {error}") from error
    except UnicodeDecodeError:
        raise _unavailable(f"{what}: the file {quoted(path.name)} is not UTF-8") from None


def _unavailable(message: str, *, retry_after_s: float = 0.0) -> Refused:
    return Refused(Reason.EXECUTOR_UNAVAILABLE, message, retry_after_s=retry_after_s)
