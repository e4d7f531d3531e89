"""How do `log verify` and `log audit` end? Exit codes, text and JSON."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import apsw
import pytest
from log_house import call_of, open_house
from test_audit_receipt import ONE, TWO
from typer.testing import CliRunner, Result

from sandbox.cli.log import app
from sandbox.deployment import Misconfigured

requirement = pytest.mark.requirement


class Files:
    """A closed deployment, one receipt of it, and a way to ask."""

    def __init__(self, root: Path) -> None:
        self.root = root
        with open_house(root) as house:
            self.receipt = house.answer(call_of()).receipt
            house.refuse(call_of())
        self.key = root / "keys" / "log.vkey"
        self.proof = root / "receipt.tlog-proof"
        self.proof.write_bytes(self.receipt)

    def verify(self, *more: str) -> Result:
        return CliRunner().invoke(app, ["verify", str(self.proof), "--key", str(self.key), *more])

    def audit(self, *more: str) -> Result:
        return CliRunner().invoke(app, ["audit", "--key", str(self.key), "--deployment", str(self.root), *more])


@pytest.fixture
def files(tmp_path: Path) -> Files:
    return Files(tmp_path)


@requirement("log:verify:offline")
@requirement("log:verify:says-what-not")
def test_a_good_receipt_ends_well_and_says_what_was_not_checked(files: Files) -> None:
    told, asked = files.verify(), files.verify("--json")

    assert (told.exit_code, asked.exit_code) == (0, 0)
    assert told.stdout.startswith("verified: leaf 5 of 6 in sandbox.example/test-log\n")
    assert "not checked:\n" in told.stdout
    facts = json.loads(asked.stdout)
    assert (facts["verified"], facts["index"], facts["tree_size"]) == (True, 5, 6)
    assert (facts["record"]["kind"], facts["record"]["tool"]) == ("read", "shop.query")
    assert len(facts["not_checked"]) == 3


@requirement("log:verify:mutated")
@pytest.mark.parametrize("content", [b"", b"not a proof", b"c2sp.org/tlog-proof@v1\nindex 0\n\n"])
def test_a_false_or_malformed_proof_ends_with_1(files: Files, content: bytes) -> None:
    files.proof.write_bytes(content)

    told, asked = files.verify(), files.verify("--json")
    assert (told.exit_code, asked.exit_code) == (1, 1)
    facts = json.loads(asked.stdout)
    assert facts["error"] == {"message": facts["message"], "reason": ""}
    assert (facts["verified"], facts["exit_code"], set(facts)) == (
        False, 1, {"verified", "message", "error", "exit_code"}
    )  # fmt: skip
    assert told.stderr.startswith("error: not valid: ")


@requirement("log:verify:witnesses")
def test_too_few_witnesses_end_with_3_and_a_false_one_with_1(files: Files) -> None:
    files.proof.write_bytes(ONE.cosign(files.receipt))

    assert files.verify("--witness", ONE.vkey()).exit_code == 0
    assert files.verify("--witness", ONE.vkey(), "--witness", TWO.vkey(), "--quorum", "1").exit_code == 0
    short = files.verify("--witness", ONE.vkey(), "--witness", TWO.vkey())
    assert (short.exit_code, short.stderr) == (3, "error: incomplete: 1 of 2 wanted witnesses have cosigned\n")
    cosigned = ONE.cosign(files.receipt)
    files.proof.write_bytes(cosigned[:-20] + (b"A" if cosigned[-20:-19] != b"A" else b"B") + cosigned[-19:])
    assert files.verify("--witness", ONE.vkey()).exit_code == 1


@requirement("log:verify:offline")
def test_what_cannot_be_decided_is_a_wrong_use(files: Files) -> None:
    for more in (
        ["--quorum", "1"],
        ["--witness", "a+b+c"],
        ["--witness", str(files.key)],
        ["--leaf", str(files.root / "none")],
    ):
        assert isinstance(files.verify(*more).exception, Misconfigured), more
    files.key.write_text("nonsense")
    assert isinstance(files.verify().exception, Misconfigured)


@requirement("log:verify:offline")
def test_a_leaf_given_by_hand_is_what_is_proven(files: Files) -> None:
    leaf = files.root / "leaf"
    leaf.write_bytes(b"something else")

    assert files.verify("--leaf", str(leaf)).exit_code == 1


@requirement("log:audit:clean")
@requirement("log:verify:wrong-key")
def test_a_wrong_key_is_told_with_the_right_one(files: Files, tmp_path_factory: pytest.TempPathFactory) -> None:
    right = files.key.read_text()
    files.key = files.root / "keys" / "log.key"
    private = files.verify()
    assert isinstance(private.exception, Misconfigured)
    assert str(private.exception).endswith(f"; did you mean {files.root}/keys/log.vkey?")
    files.key = Files(tmp_path_factory.mktemp("other")).key
    other = json.loads(files.verify("--json").stdout)["message"]
    carried = "+".join(right.split("+")[:2])
    assert other.endswith(f" (Ed25519); it carries those of {carried}")


@requirement("log:audit:wrote")
def test_an_audit_says_what_it_wrote_for_the_next_one(files: Files) -> None:
    kept = files.root / "kept.txt"

    first, bare = files.audit("--remember", str(kept)).stdout, files.audit().stdout

    assert f"wrote {kept} (7 records): the next audit will compare with it" in " ".join(first.split())
    assert "wrote" not in bare
    again = files.audit("--remember", str(kept)).stdout
    assert "begins with the remembered 7 records\n" in again
    assert "wrote" in again


@requirement("log:audit:remembered")
def test_an_audit_remembers_and_a_tampered_log_ends_with_1(files: Files) -> None:
    kept = files.root / "kept"
    told, asked = files.audit("--remember", str(kept)), files.audit("--json")

    assert (told.exit_code, asked.exit_code) == (0, 0)
    assert told.stdout.startswith("verified: 7 records, 7 checkpoints, ")
    assert json.loads(asked.stdout)["tree_size"] == 7
    again = json.loads(files.audit("--remember", str(kept), "--json").stdout)
    assert again["remembered_size"] == 7
    assert len(again["not_checked"]) == len(json.loads(asked.stdout)["not_checked"]) - 1
    connection = apsw.Connection(str(files.root / "state" / "log.db"))
    connection.execute("UPDATE leaves SET record = CAST(record || x'00' AS BLOB) WHERE idx = 5")
    connection.close()
    bad = files.audit("--json")
    assert (bad.exit_code, "leaf 5" in json.loads(bad.stdout)["message"]) == (1, True)
    assert files.audit("--remember", str(kept)).exit_code == 1


@requirement("log:audit:clean")
def test_an_audit_works_beside_a_running_service(tmp_path: Path) -> None:
    with open_house(tmp_path) as house:
        house.answer(call_of())
        key = str(tmp_path / "keys" / "log.vkey")
        told = CliRunner().invoke(app, ["audit", "--key", key, "--deployment", str(tmp_path)])
        assert told.exit_code == 0, told.output


@requirement("log:verify:offline")
def test_the_verifier_loads_neither_grpc_nor_pydantic_nor_the_service() -> None:
    code = (
        "import sys; from sandbox.audit.verify import verify_receipt;"
        "print([name for name in sys.modules if name.split('.')[0] in {'grpc', 'pydantic', 'apsw', 'typer'}"
        " or name.startswith(('sandbox.receipts', 'sandbox.stores', 'sandbox.doors'))])"
    )
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)  # noqa: S603 - ours

    assert told.stdout == "[]\n"
