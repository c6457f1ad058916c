"""The pages that describe the code are as the code is."""

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
NEUTRON = ROOT / "src/isthmus/neutron"
#: How the code hangs on Neutron, SQLAlchemy or a thread.
HOOK = re.compile(
    r"sqla_listen\(|event\.listen\(|registry\.subscribe\(|ContextVar\(|FAULT_MAP\[|__native_bulk"
    r"|append_api_extensions_path\(|^    ovn_client\.OVNClient = |set_default\(",
    re.MULTILINE,
)


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
