"""Pages of reference name what the source has: findings of the audit, policies."""

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from isthmus.config.options import list_opts
from isthmus.dataplane.kinds import KINDS
from isthmus.dataplane.row_kind import Change
from isthmus.neutron.api import policies

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs/reference/audit.md").read_text()
AUDITS = ROOT / "src/isthmus/federation/audits"
OPERATE = ROOT / "src/isthmus/operate/audit.py"
FILES = ROOT / "src/isthmus/dataplane/kind"

#: A code as a first column has it; a word in capitals stands for a resource's type or a row kind.
ON_PAGE = set(re.findall(r"^\| `([a-zA-Z_]+(?:\.[a-zA-Z_]+)+)`", PAGE, re.MULTILINE))
CODE = re.compile(r"[a-z_]+\.[a-z_.]+")


def test_every_code_of_the_audit_is_on_its_page() -> None:
    codes = {*_list_codes(), *map(_without_kind, _list_drift_codes())}
    assert len(codes) > 20
    assert codes == ON_PAGE


def test_every_row_kind_is_registered_and_says_what_fails_without_it() -> None:
    said = {kind.name: kind.without for kind in KINDS}
    assert said.keys() == {path.stem for path in FILES.rglob("*.py")} - {"__init__"}
    assert said.keys() == {code.split(".")[1] for code in _list_drift_codes()}
    assert {name for name, without in said.items() if len(without.split()) < 4} == set()


def test_every_finding_on_the_page_has_cause_evidence_and_remedy() -> None:
    rows = [line for line in PAGE.splitlines() if re.match(r"\| `[a-zA-Z_]+\.", line)]
    assert len(rows) == len(ON_PAGE), "a code has two rows"
    for row in rows:
        cells = [cell.strip() for cell in row.strip("|").split("|")]
        assert len(cells) == 4, row
        assert all(cells), row


def test_every_policy_is_on_the_page_of_the_admin_api() -> None:
    page = (ROOT / "docs/reference/admin-api.md").read_text().partition("## Policies")[2]
    named = {
        name
        for row in re.findall(r"^\| (`.+?`) \|", page, re.MULTILINE)
        for name in re.findall(r"`(\w+)`", row)
    }
    assert named == {rule.name for rule in policies.list_rules()}


def test_the_pages_of_commands_and_options_are_as_the_code_is(tmp_path: Path) -> None:
    subprocess.run([sys.executable, ROOT / "tools/write_reference", tmp_path], check=True)
    written = {path.name: path.read_text() for path in tmp_path.iterdir()}
    assert set(written) == {"cli.md", "configuration.md", "nfv-checks.md"}
    for name, text in written.items():
        assert (ROOT / "docs/reference" / name).read_text() == text, "run tools/write_reference"
        assert text.count("\n") > 40
    commands = set(re.findall("^### (isthmus .*)$", written["cli.md"], re.MULTILINE))
    assert {"isthmus site resync", "isthmus job list", "isthmus lab up"} <= commands
    assert "## isthmus status" in written["cli.md"]
    options = {name for _, group in list_opts() for name in (one.name for one in group)}
    assert {name for name in options if f"| `{name}` |" not in written["configuration.md"]} == set()


def _list_codes() -> Iterator[str]:
    """List the codes of verdicts; of those of a resource, which are made of its type, the form."""
    for path in (*AUDITS.glob("*.py"), OPERATE):
        tree = ast.parse(path.read_text())
        for node in ast.walk(tree):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                if CODE.fullmatch(node.value):
                    yield node.value
            elif isinstance(node, ast.JoinedStr) and ast.unparse(node) == "f'{kind}.{problem}'":
                yield from (f"TYPE.{problem}" for problem in _list_problems(tree))


def _list_problems(tree: ast.Module) -> list[str]:
    for node in tree.body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "_PROBLEMS":
            return list(ast.literal_eval(node.value))
    raise AssertionError("the audit has no table of problems")


def _list_drift_codes() -> Iterator[str]:
    for change in Change.__subclasses__():
        if change.__module__.startswith("isthmus."):
            yield change.code


def _without_kind(code: str) -> str:
    family, _kind, word = code.split(".")
    return f"{family}.KIND.{word}"
