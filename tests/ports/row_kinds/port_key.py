"""Cases of the port keys of the site's own ports."""

from tests.ports.row_kinds.case import Case, lay_port, lay_switch

from isthmus.dataplane.kind.port_key import PORT_KEY
from isthmus.dataplane.protocols import Tables
from isthmus.testing.site_tables import NET, MemoryTables, make_tables


def keyed() -> MemoryTables:
    tables = make_tables()
    tables.keys = {"own": (NET, 7), "not written yet": (NET, 8)}
    return tables


def lay_without_key(tables: Tables) -> None:
    lay_port(tables, lay_switch(tables), "own", options={"mcast_flood": "true"})


def lay_with_key(tables: Tables) -> None:
    lay_port(tables, lay_switch(tables), "own", options={"requested-tnl-key": "7"})


CASES = (
    Case(
        name="a lost key",
        tables=keyed,
        northbound=lay_without_key,
        finds=[("ovn.port_key.differs", "own")],
        holds=lambda seen: seen.of(PORT_KEY)["own"].port_key == 7,
    ),
    Case(
        name="its key",
        tables=keyed,
        northbound=lay_with_key,
        finds=[],
        holds=lambda seen: seen.of(PORT_KEY)["own"].port_key == 7,
    ),
)
