"""The repository keeps its own rules."""

import ast
import re
import subprocess
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from isthmus import errors

ROOT = Path(__file__).resolve().parents[2]
#: Files that may be longer than 600 lines, each with its reason. It may only shrink.
LONG_FILES: dict[str, str] = {}
BANNED_MODULES = {"utils", "util", "helpers", "helper", "common", "misc", "manager"}
#: Hosts of package registries; a file that names one breaks behind a mirror.
REGISTRIES = ("pypi" + ".org", "pythonhosted" + ".org", "npmjs" + ".org", "deb.debian" + ".org")


def tracked(*patterns: str) -> Iterator[Path]:
    listing = subprocess.run(
        ["git", "ls-files", "-z", "--", *patterns],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    for name in filter(None, listing.split("\0")):
        if (ROOT / name).is_file():
            yield ROOT / name


def test_no_file_is_longer_than_600_lines() -> None:
    long = {
        str(path.relative_to(ROOT)): lines
        for path in tracked("*.py")
        if (lines := len(path.read_text().splitlines())) > 600
    }
    assert set(long) <= set(LONG_FILES), long


def test_no_folder_of_the_package_has_more_than_12_modules() -> None:
    folders = Counter(
        path.parent.relative_to(ROOT) for path in tracked("src/*.py") if path.name != "__init__.py"
    )
    assert folders
    assert {str(folder): count for folder, count in folders.items() if count > 12} == {}


def test_wiring_composes_only() -> None:
    """A file of `wiring` is a page without a loop: what repeats or decides belongs to an engine."""
    pages = {path: path.read_text() for path in tracked("src/isthmus/wiring/*.py")}
    loops = {
        path.name
        for path, text in pages.items()
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.For | ast.While | ast.AsyncFor)
    }
    assert len(pages) > 5
    assert loops == set()
    assert {path.name for path, text in pages.items() if len(text.splitlines()) > 100} == set()


def test_no_dumping_grounds() -> None:
    assert not [path for path in tracked("src/*.py") if path.stem in BANNED_MODULES]


def test_every_module_says_why_it_exists() -> None:
    silent = [
        path.relative_to(ROOT)
        for path in tracked("src/*.py")
        if "alembic" not in path.parts and not ast.get_docstring(ast.parse(path.read_text()))
    ]
    assert not silent


def test_nothing_is_left_unfinished() -> None:
    marks = re.compile(r"\b(TODO|FIXME|XXX|NotImplementedError)\b")
    assert not [path for path in tracked("src/*.py") if marks.search(path.read_text())]


def test_no_merge_is_left_half_done() -> None:
    mark = re.compile(r"^(<{7}|>{7}) ", re.MULTILINE)
    texts = tracked("*.md", "*.py", "*.toml", "*.yaml", "*.yml", "*.lock", "dev")
    assert not [path.relative_to(ROOT) for path in texts if mark.search(path.read_text())]


def test_documents_link_to_files_that_exist() -> None:
    link = re.compile(r"\]\(([^)#:\s]+)(?:#[^)]*)?\)")
    dead = [
        (str(path.relative_to(ROOT)), target)
        for path in tracked("*.md")
        for target in link.findall(path.read_text())
        if not (path.parent / target).exists()
    ]
    assert not dead


def test_no_registry_is_named() -> None:
    assert not [
        (path.relative_to(ROOT), host)
        for path in tracked()
        for host in REGISTRIES
        if host in path.read_text(errors="ignore")
    ]


def test_no_test_sleeps() -> None:
    sleepers = re.compile(r"\btime\.sleep\(")
    assert not [
        path
        for path in tracked("tests/*.py")
        if sleepers.search(path.read_text()) and path != Path(__file__)
    ]


def test_no_test_file_starts_a_second_mariadb() -> None:
    """A fixture of the session that a file imports is another one, with a server of its own."""
    given = re.compile(r"^from tests\.neutron\.mariadb import .*(mariadb_url|new_database)", re.M)
    found = [path.name for path in tracked("tests/*.py") if given.search(path.read_text())]
    assert found == ["conftest.py"]


def test_error_codes_are_unique_and_documented() -> None:
    kinds = errors.all_errors()
    codes = [kind.code for kind in kinds]
    assert len(codes) == len(set(codes))
    page = (ROOT / "docs/reference/errors.md").read_text()
    assert not [code for code in codes if f"`{code}`" not in page]


@pytest.mark.parametrize("kind", errors.all_errors(), ids=lambda kind: kind.code)
def test_every_error_has_a_consequence_and_survives_the_wire(
    kind: type[errors.IsthmusError],
) -> None:
    assert errors.consequence(kind).exit_code in {1, 2, 3}
    again = errors.from_code(kind.code, "it broke")
    assert type(again) is kind
    assert again.message == "it broke"
