"""Plain reads of where objects are serve answers; whoever decides holds the objects."""

import re
from pathlib import Path

SOURCE = Path(__file__).parents[2] / "src" / "isthmus"
PEEK = re.compile(r"\b(?:mapping|location)\.(peek_\w+)")

#: Who may read what may be old, and what for.
ALLOWED = {
    "neutron/central/plugin.py": "zones of a network",
    "neutron/central/site_api/bundle.py": "whether a site may ask about a network's MACs",
    "neutron/central/site_api/belief/validator.py": "a first look; writes stand behind locks",
    "neutron/central/site_api/belief/naming.py": "what a site may speak of; decided anew later",
    "neutron/central/site_api/belief/entitled.py": "what a site is shown that asks for itself",
    "neutron/central/presence.py": "whether hints matter; extending reads again",
    "neutron/central/provider_network/fabric.py": "on whose fabric a network is, which stays so",
    "neutron/central/admin/router_exit.py": "at which sites a router is, which is only shown",
    "neutron/central/trunk/gather.py": "whether a subport is to come; who gives the home holds it",
    "neutron/central/router/facts.py": "exits, shown and sent; who allocates reads what is latest",
    "neutron/central/router/plugin.py": "zones of a router, which are only shown",
    "neutron/central/resource/router.py": "states for Xjob: interfaces on networks that are there",
    "neutron/central/resource/subnet.py": "states for Xjob: of networks that are there",
    "neutron/central/site_api/digest.py": "digests: what differs is noted, and read again",
    "neutron/central/site_api/desired.py": "states for Xjob: what changes later is noted again",
}


def test_peeks_are_where_the_list_says() -> None:
    found = {
        str(path.relative_to(SOURCE))
        for path in SOURCE.rglob("*.py")
        if PEEK.search(path.read_text()) and "store" not in path.parts
    }
    assert found == set(ALLOWED)


def test_mappings_and_homes_are_written_behind_a_lock() -> None:
    """Only `LockedObjects` maps, so no site is given an object that others are changing unseen."""
    writers = re.compile(r"\bmapping\.(?:record|withdraw)\(")
    found = {
        str(path.relative_to(SOURCE))
        for path in SOURCE.rglob("*.py")
        if writers.search(path.read_text())
    }
    assert found == {"store/tiers/locked.py"}
