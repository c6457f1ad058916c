"""Our tables belong to `isthmus.store`: no other room has SQL on them."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

from isthmus.store.sql.tables import METADATA

SOURCE = Path(__file__).parents[2] / "src" / "isthmus"
TABLES = "isthmus.store.sql.tables"
#: What hands the tables to Neutron's alembic branches.
MODELS = "neutron/db/models.py"
#: Written out in full on purpose: it stays what it was when the tables move on.
MIGRATIONS = "neutron/db/migration"
_NAMES = "|".join(METADATA.tables)
#: The name of a table alone, or in SQL as text.
NAME = re.compile(rf"^(?:{_NAMES})$|\b(?:from|into|join|table|update)\s+\W?(?:{_NAMES})\b", re.I)


#: Which files of the store write which table; the rest of the store asks them to.
WRITERS: dict[str, set[str]] = {
    "APPLIED": {"delivery/lane"},
    "NAMED_PORTS": {"tiers/named_port", "tiers/epoch"},  # a new epoch knows of none
    "DATAPATHS": {"ports/datapath"},
    "EPOCHS": {"tiers/epoch"},
    "EVENTS": {"delivery/event"},
    "EXITS": {"local/exit_plan"},
    "EXIT_HYPERVISORS": {"local/exit_plan"},
    "GATEWAY_HYPERVISORS": {"ports/gateway"},
    "HYPERVISORS": {"ports/hypervisor"},
    # By those who record intents; by workers; by operators.
    "JOURNAL": {"delivery/journal", "delivery/claiming", "delivery/job"},
    "LANES": {"delivery/lane"},
    "LEASES": {"leases/lease", "local/lease"},  # at central; at a site
    "NAMED_LEASES": {"leases/named", "tiers/epoch"},  # a new epoch knows of none
    "LOCATIONS": {"ports/location"},
    "NAMED_NUMBERS": {"leases/named", "tiers/epoch"},  # nor of this one
    "POOLS": {"leases/pool"},
    "PORT_KEYS": {"ports/port_key"},
    "RECALLS": {"leases/recall", "leases/lease"},  # they go with their lease
    "REFUSALS": {"delivery/refusal"},
    "REGISTRATIONS": {"tiers/registration", "tiers/epoch"},  # a new epoch waits for all
    "REGISTRATION_PARTS": {"tiers/parts"},
    "RENEWALS": {"delivery/renewal"},
    "RESTING": {"leases/resting"},
    "RETURNS": {"leases/returns"},
    "SHADOWS": {"ports/shadow"},
    "SITES": {"tiers/site"},
    # At central, where it is a presence; at a site; as the home of a port; by what sites name.
    "SITE_MAPPINGS": {"tiers/mapping", "local/mapping", "ports/home", "tiers/named_port"},
    "TRANSIT_PORTS": {"ports/transit"},
    "WITNESSES": {"tiers/epoch"},
    "SPARES": {"leases/spare"},
}
WRITE = re.compile(
    r"\b(?:insert|update|delete|insert_or_keep|insert_or_update)\((?:connection, )?([A-Z_]+)\b"
)


def outside() -> Iterator[tuple[str, ast.Module]]:
    for path in sorted(SOURCE.rglob("*.py")):
        name = str(path.relative_to(SOURCE))
        if not name.startswith(("store/", MIGRATIONS)):
            yield name, ast.parse(path.read_text())


def imported(tree: ast.Module) -> Iterator[str]:
    """Give every module that may be meant, and `module.name` of each name taken from one."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (one.name for one in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield str(node.module)
            yield from (f"{node.module}.{one.name}" for one in node.names)


def docstrings(tree: ast.Module) -> set[ast.expr]:
    found = set()
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        for one in body if isinstance(body, list) else ():
            if isinstance(one, ast.Expr):
                found.add(one.value)
    return found


def test_the_tables_are_imported_by_the_store_and_by_the_models_alone() -> None:
    users = {name for name, tree in outside() if TABLES in set(imported(tree))}
    assert users == {MODELS}


def test_no_statement_outside_the_store_names_a_table_of_ours() -> None:
    named = {
        (name, found.group())
        for name, tree in outside()
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
        if (found := NAME.search(node.value))
        if node not in docstrings(tree)  # rarely asked: it reads the whole file
    }
    assert named == set()


def test_each_table_is_written_by_the_files_that_are_about_it() -> None:
    written: dict[str, set[str]] = {}
    for path in sorted((SOURCE / "store").rglob("*.py")):
        name = str(path.relative_to(SOURCE / "store").with_suffix(""))
        for table in WRITE.findall(path.read_text()):
            written.setdefault(table, set()).add(name)
    assert written == WRITERS
    assert {f"isthmus_{table.lower()}" for table in WRITERS} == set(METADATA.tables)
