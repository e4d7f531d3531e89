"""What do the twins of every engine do alike? They are asked, watched and let go of; how, an engine's own file says."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import ClassVar, Generic, Protocol, TypeVar

from fuzz_sql_twins import BATCH, Answer, Blamed, Pair, in_any_order

from sandbox.bench.sql.harm import BARE_S, Harm
from sandbox.sql import Proven
from sandbox.toolspec import SqlEngine


class Ground(Protocol):
    """One twin as a tool has it."""

    def permit(self, text: str) -> Proven:
        """Take a text through the gate; raises `Refused`."""
        ...

    def ask(self, proven: Proven, text: str, seconds: float) -> tuple[str, bool]:
        """Run what the gate let through; returns rows or error, and whether it ended."""
        ...

    def close(self) -> None:
        """Let go of it."""
        ...


class Watched(Ground, Protocol):
    """One whose database can be looked at as a whole."""

    def watched(self) -> str:
        """Return all that the tool's database keeps."""
        ...


class Owned(Protocol):
    """One twin as its owner has it."""

    def ask(self, text: str, seconds: float) -> tuple[Answer, str]:
        """Return the answer, and what is wrong already now; nothing, if nothing is."""
        ...

    def harm(self) -> str:
        """Return what was done since this was asked last, and put it right; nothing, if nothing was."""
        ...

    def close(self) -> None:
        """Let go of it."""
        ...


GroundOf = TypeVar("GroundOf", bound=Ground)
WatchedOf = TypeVar("WatchedOf", bound=Watched)


class Twins(ABC, Generic[GroundOf]):
    """The twins on one engine."""

    engine: SqlEngine

    def __init__(self, grounds: Sequence[GroundOf], bare: Sequence[Owned], reordered: Owned | None = None) -> None:
        """Ask confined on the grounds, and bare as the owner of each, of a third that is the first `reordered` too.

        It is there for an engine that answers otherwise, in other rows or in their order, where rows lie otherwise.
        """
        self._grounds = grounds
        self._bare = bare
        self._reordered = reordered
        self._texts: list[str] = []
        self._blamed: list[Blamed] = []

    def permit(self, text: str) -> Sequence[Proven]:
        """Take a text through the gate, once for both."""
        proven = self._grounds[0].permit(text)
        return proven, proven

    def permit_bare(self, text: str, proven: Sequence[Proven]) -> str:  # noqa: ARG002 - a text is kept
        """Return what runs where no tool has been set up: the same."""
        return proven[0].sql_to_run

    def bare(self, text: str, seconds: float = BARE_S) -> Sequence[Answer]:
        """Run a text as the owner of each twin."""
        self._texts.append(text)
        answers = []
        for each in self._bare:
            answer, harm = each.ask(text, seconds)
            answers.append(answer)
            if harm:
                self._blamed.append(Blamed(text, harm))
        return answers

    def confined(self, proven: Sequence[Proven], text: str, seconds: float = BARE_S) -> Sequence[Answer]:
        """Run what the gate let through on the executor of each twin."""
        answers = [Answer(*ground.ask(each, text, seconds)) for ground, each in zip(self._grounds, proven, strict=True)]
        return [in_any_order(answer) for answer in answers] if self._reordered else answers

    def is_by_chance(self, text: str) -> bool:
        """Whether the first twin's owner is told something else where its rows lie in another order, if it can be."""
        if self._reordered is None:
            return False
        one, other = (in_any_order(each.ask(text, BARE_S)[0]) for each in (self._bare[0], self._reordered))
        return one.is_answered and one != other

    def settle(self) -> Sequence[Blamed]:
        """Look at what all texts since the last time did; where that is anything, at each by itself."""
        texts, self._texts = self._texts, []
        if any([each.harm() for each in self._bare]):  # noqa: C419 - each begins anew
            for text in dict.fromkeys(texts):
                self._bare[0].ask(text, BARE_S)
                if harm := self._bare[0].harm():
                    self._blamed.append(Blamed(text, harm))
        self._look_at_grounds(texts)
        blamed, self._blamed = self._blamed, []
        return blamed

    def close(self) -> None:
        """Let go of what the owners have."""
        for each in self._bare:
            each.close()
        if self._reordered:
            self._reordered.close()

    @abstractmethod
    def _look_at_grounds(self, texts: Sequence[str]) -> None:
        """Note whether what these texts ran on, confined, is changed, where that was not noted at once."""


class ServerTwins(Twins[WatchedOf]):
    """Twins on a server, which is looked at now and then."""

    def __init__(self, grounds: Sequence[WatchedOf], bare: Sequence[Owned], reordered: Owned | None = None) -> None:
        """Take what the grounds keep now for what they should."""
        super().__init__(grounds, bare, reordered)
        self._kept = [ground.watched() for ground in grounds]

    def _look_at_grounds(self, texts: Sequence[str]) -> None:
        kept = [ground.watched() for ground in self._grounds]
        if kept != self._kept:
            self._blamed.append(Blamed("; ".join(texts[-BATCH:]), Harm.CHANGED))
            self._kept = kept


class FileTwins(Twins[Ground]):
    """Twins in files, which are looked at after each text."""

    file: ClassVar[str]
    """What a ground calls its file."""

    def __init__(
        self, folders: Sequence[Path], grounds: Sequence[Ground], bare: Sequence[Owned], reordered: Owned | None = None
    ) -> None:
        """Take what the grounds' files in the folders are now for what they should be."""
        super().__init__(grounds, bare, reordered)
        self._files = [(folder / self.file, (folder / self.file).read_bytes()) for folder in folders]

    def confined(self, proven: Sequence[Proven], text: str, seconds: float = BARE_S) -> Sequence[Answer]:
        """Run what the gate let through on the executor of each twin."""
        answers = super().confined(proven, text, seconds)
        if any(path.read_bytes() != before for path, before in self._files):
            self._blamed.append(Blamed(text, Harm.CHANGED))
            for path, before in self._files:
                path.write_bytes(before)
        return answers

    def close(self) -> None:
        """Let go of the files."""
        for ground in self._grounds:
            ground.close()
        super().close()

    def _look_at_grounds(self, texts: Sequence[str]) -> None:
        """Nothing is left to note."""


@contextmanager
def in_folders(made: Callable[[Sequence[Path]], FileTwins]) -> Iterator[Pair]:
    """Make twins in two folders that go at the end."""
    with TemporaryDirectory(prefix="sandbox-fuzz-") as folder:
        folders = [Path(folder) / name for name in "ab"]
        for each in folders:
            each.mkdir()
        with closing(made(folders)) as pair:
            yield pair
