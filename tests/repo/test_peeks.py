"""Plain reads of where objects are serve answers; whoever decides holds the objects."""

import re
from pathlib import Path

SOURCE = Path(__file__).parents[2] / "src" / "isthmus"
PEEK = re.compile(r"\b(?:routing|location)\.(peek_\w+)")

#: Who may read what may be old, and what for.
ALLOWED = {
    "neutron/central/plugin.py": "zones of a network; a first look before a delete",
    "neutron/central/exchange/bundle.py": "whether a site may ask about a network's MACs",
    "neutron/central/exchange/validator.py": "a first look; what is written stands behind locks",
    "neutron/central/exchange/entitled.py": "what a site is shown that asks for itself",
    "neutron/central/exchange/placement.py": "whether hints matter; placing looks again",
    "neutron/central/exchange/snapshot.py": "states for Xjob: what changes later is noted again",
}


def test_peeks_are_where_the_list_says() -> None:
    found = {
        str(path.relative_to(SOURCE))
        for path in SOURCE.rglob("*.py")
        if PEEK.search(path.read_text()) and "store" not in path.parts
    }
    assert found == set(ALLOWED)


def test_routings_and_homes_are_written_behind_a_lock() -> None:
    """Nothing but `Held` routes, so no site is given an object that others are changing unseen."""
    writers = re.compile(r"\brouting\.(?:record|withdraw)\(")
    found = {
        str(path.relative_to(SOURCE))
        for path in SOURCE.rglob("*.py")
        if writers.search(path.read_text())
    }
    assert found == {"store/held.py"}
