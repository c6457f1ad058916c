"""The pages that describe the code are as the code is."""

import ast
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SOURCE = ROOT / "src/isthmus"
FLOWS = ROOT / "docs/explanation/flows.md"
NEUTRON = ROOT / "src/isthmus/neutron"
#: How the code hangs on Neutron, SQLAlchemy or a thread.
HOOK = re.compile(
    r"sqla_listen\(|event\.listen\(|registry\.subscribe\(|ContextVar\(|FAULT_MAP\[|__native_bulk"
    r"|append_api_extensions_path\(|^    ovn_client\.OVNClient = |set_default\(",
    re.MULTILINE,
)

#: A function or a class as the page of flows names it.
NAMED = re.compile(r"`([a-z_/]+\.py):([\w.]+)`")


def test_every_hook_in_neutron_is_on_its_page() -> None:
    page = (ROOT / "docs/explanation/hooks.md").read_text()
    hooked = {
        str(path.relative_to(NEUTRON))
        for path in NEUTRON.rglob("*.py")
        if HOOK.search(path.read_text())
    }
    assert len(hooked) > 10
    assert {path for path in hooked if f"`{path}`" not in page} == set()


def test_every_file_that_the_page_of_hooks_names_is_there() -> None:
    page = (ROOT / "docs/explanation/hooks.md").read_text()
    named = set(re.findall(r"`((?:central|local|db|api)/[a-z_/]+\.py)`", page))
    assert {path for path in named if not (NEUTRON / path).is_file()} == set()


def test_every_entry_point_is_on_the_page_of_hooks() -> None:
    page = (ROOT / "docs/explanation/hooks.md").read_text()
    names = re.findall(r'^(isthmus\w*) = "isthmus\.', (ROOT / "pyproject.toml").read_text(), re.M)
    assert {name for name in names if f"`{name}`" not in page} <= {"isthmus"}


def test_the_drawing_of_rooms_is_as_the_code_is() -> None:
    drawn = subprocess.run(
        [sys.executable, ROOT / "tools/draw_rooms"], check=True, capture_output=True, text=True
    ).stdout
    assert " up " not in drawn
    assert drawn in (ROOT / "docs/explanation/architecture.md").read_text(), (
        "run tools/draw_rooms docs/explanation/architecture.md"
    )


def test_every_function_that_the_page_of_flows_names_is_there() -> None:
    named = set(NAMED.findall(FLOWS.read_text()))
    assert len(named) > 200
    files = {path: SOURCE / path for path, _ in named}
    assert {path for path, file in files.items() if not file.is_file()} == set()
    defined = {path: _list_defined(file) for path, file in files.items()}
    assert {f"{path}:{name}" for path, name in named if name not in defined[path]} == set()


def test_every_count_on_the_page_of_flows_is_that_of_its_list() -> None:
    counted = 0
    hops, files = 0, set[str]()
    for line in FLOWS.read_text().splitlines():
        if line.startswith("## "):
            hops, files = 0, set()
        hops += line.startswith("- ")
        files |= {path for path, _ in NAMED.findall(line)}
        if line.startswith("**Counted**"):
            assert line.startswith(f"**Counted**: {hops} hops in {len(files)} files"), line
            hops, files, counted = 0, set(), counted + 1
    assert counted == 16  # ten flows, of which some have several parts


def test_every_mark_of_what_is_hidden_leads_to_a_heading_of_the_page_of_hooks() -> None:
    links = re.findall(r"^\[[\w ]+\]: hooks\.md#(\S+)$", FLOWS.read_text(), re.MULTILINE)
    headings = re.findall(
        r"^## (.+)$", (ROOT / "docs/explanation/hooks.md").read_text(), re.MULTILINE
    )
    slugs = {re.sub(r"[^\w -]", "", one).lower().replace(" ", "-") for one in headings}
    assert links
    assert set(links) <= slugs


def _list_defined(file: Path) -> set[str]:
    """Return the functions and classes of a file, methods as `Class.method`."""
    found = set()
    for node in ast.parse(file.read_text()).body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            found.add(node.name)
        if isinstance(node, ast.ClassDef):
            parts = (one for one in node.body if isinstance(one, ast.FunctionDef))
            found |= {f"{node.name}.{one.name}" for one in parts}
    return found
