"""What names promise: a check reads, and a key between tiers has one home."""

import ast
import re
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

SOURCE = Path(__file__).resolve().parents[2] / "src" / "isthmus"
#: What writes by itself: SQL statements, and a transaction that is opened to write.
STATEMENTS = frozenset({"insert", "update", "delete"})
OPENS_TO_WRITE = frozenset({"writing", "upsert"})
_KEY = re.compile(r"""["'](isthmus:[a-z_]*)["']""")

Name = tuple[str, str]  #: file's basename, function


def functions(tree: ast.Module) -> Iterator[ast.FunctionDef]:
    yield from (node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef))


def writes_itself(function: ast.FunctionDef) -> bool:
    for node in ast.walk(function):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            owner = ast.unparse(node.func.value)
            if node.func.attr in STATEMENTS and owner in {"sa", "sqlalchemy"}:
                return True
        if isinstance(node, ast.Attribute) and node.attr == "CONTEXT_WRITER":
            return True
        if isinstance(node, ast.Call) and ast.unparse(node.func) in OPENS_TO_WRITE:
            return True
    return False


def called(function: ast.FunctionDef, home: str, imported: dict[str, Name]) -> set[Name]:
    """The functions of ours that one calls: of its own file, imported, or of an imported module."""
    found: set[Name] = set()
    for node in ast.walk(function):
        if not isinstance(node, ast.Call):
            continue
        if isinstance(node.func, ast.Name):
            found.add(imported.get(node.func.id, (home, node.func.id)))
        elif isinstance(node.func, ast.Attribute) and isinstance(node.func.value, ast.Name):
            module = node.func.value.id
            found.add((imported.get(module, ("", module))[1], node.func.attr))
            if module == "self":
                found.add((home, node.func.attr))
    return found


def find_imported(tree: ast.Module) -> dict[str, Name]:
    return {
        alias.asname or alias.name: ((node.module or "").rpartition(".")[2], alias.name)
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("isthmus")
        for alias in node.names
    }


def find_writers() -> tuple[set[Name], dict[Name, set[Name]]]:
    """Which functions write, themselves or by what they call."""
    calls: dict[Name, set[Name]] = {}
    writers: set[Name] = set()
    for path in SOURCE.rglob("*.py"):
        tree = ast.parse(path.read_text())
        imported = find_imported(tree)
        for one in functions(tree):
            name = (path.stem, one.name)
            calls.setdefault(name, set()).update(called(one, path.stem, imported))
            if writes_itself(one):
                writers.add(name)
    grown = True
    while grown:
        more = {name for name, those in calls.items() if name not in writers and those & writers}
        writers |= more
        grown = bool(more)
    return writers, calls


def test_no_check_writes() -> None:
    writers, calls = find_writers()
    checks = {name for name in calls if name[1].lstrip("_").startswith("check_")}
    assert len(checks) > 50
    assert len(writers) > 100
    assert ("lease", "insert") in writers
    assert checks & writers == set()


def test_a_key_between_tiers_is_written_once() -> None:
    """`model.attribute` has them; those of OVN's rows stand beside what reads and writes these."""
    places: dict[str, set[str]] = defaultdict(set)
    for path in SOURCE.rglob("*.py"):
        for key in _KEY.findall(path.read_text()):
            places[key].add(str(path.relative_to(SOURCE)))
    assert {key: files for key, files in places.items() if len(files) > 1} == {}
    homes = set().union(*places.values())
    assert {one for one in homes if "dataplane" not in one} == {"model/attribute.py"}


def test_both_ends_take_each_attribute_from_its_home() -> None:
    home = ast.parse((SOURCE / "model/attribute.py").read_text())
    names = {
        node.target.id
        for node in home.body
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name)
    } - {"PREFIX"}
    used = {
        tier: set().union(
            *(
                re.findall(r"\battribute\.([A-Z_]+)", path.read_text())
                for path in (SOURCE / "neutron" / tier).rglob("*.py")
            )
        )
        for tier in ("central", "local")
    }
    assert len(names) >= 8
    assert used["central"] & names == names
    assert used["local"] & names == names
