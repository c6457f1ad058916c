"""Cases of shadow ports."""

from typing import Any

from tests.ports.row_kinds.case import Case, lay_chassis, lay_port, lay_switch
from tests.ports.row_kinds.remote_chassis import REMOTE

from isthmus.dataplane.kind.shadow_port import SHADOW_PORT, render_port
from isthmus.dataplane.protocols import Tables
from isthmus.dataplane.row_kind import Observed
from isthmus.testing.site_tables import NET, MemoryTables, make_shadow, make_tables

SHADOW = make_shadow(1)
ID = SHADOW.port_id
COLUMNS: dict[str, Any] = {
    "type": "remote",
    "options": {"requested-tnl-key": "101", "requested-chassis": "hv-b"},
    "addresses": ["fa:16:02:00:00:01 10.0.0.1"],
    "enabled": [True],
    "external_ids": {"isthmus:shadow": NET, "isthmus:site": "site2"},
}


def lay_hypervisor(tables: Tables) -> None:
    lay_chassis(tables, "hv-b", "192.0.2.2", "site2/host-b", **REMOTE)


def lay(**changes: Any) -> Any:
    def act(tables: Tables) -> None:
        lay_port(tables, lay_switch(tables), ID, **{**COLUMNS, **changes})

    return act


def as_wanted(observed: Observed) -> bool:
    return observed.of(SHADOW_PORT).ports == {ID: render_port(SHADOW, frozenset(), str)}


def differs(name: str, **changes: Any) -> Case:
    return Case(
        name=name,
        tables=lambda: make_tables(SHADOW),
        northbound=lay(**changes),
        southbound=lay_hypervisor,
        finds=[("ovn.shadow_port.differs", ID)],
        holds=as_wanted,
    )


def make_on_fabric() -> MemoryTables:
    tables = make_tables(SHADOW)
    tables.on_fabrics = {NET}
    return tables


CASES = (
    Case(
        name="on a fabric that sites share it asks for no hypervisor",
        tables=make_on_fabric,
        northbound=lay(),
        southbound=lay_hypervisor,
        finds=[("ovn.shadow_port.differs", ID)],
        holds=lambda seen: (
            seen.of(SHADOW_PORT).ports
            == {ID: render_port(SHADOW, frozenset(), str, on_fabric=True)}
            and not seen.of(SHADOW_PORT).ports[ID].chassis
        ),
    ),
    Case(
        name="missing",
        tables=lambda: make_tables(SHADOW),
        southbound=lay_hypervisor,
        finds=[("ovn.shadow_port.differs", ID)],
        holds=as_wanted,
    ),
    differs("another hypervisor", options={**COLUMNS["options"], "requested-chassis": "hv-c"}),
    differs("a foreign option", options={**COLUMNS["options"], "qos_burst": "1"}),
    differs("another type", type="virtual"),
    differs("other addresses", addresses=["unknown"]),
    differs("down", enabled=[False]),
    differs("port security of its own", port_security=["fa:16:02:00:00:01"]),
    Case(
        name="one that is nobody's shadow goes",
        tables=make_tables,
        northbound=lay(),
        finds=[("ovn.shadow_port.extra", ID)],
        holds=lambda seen: not seen.of(SHADOW_PORT).ports,
    ),
    Case(
        name="a port of the site's own is never taken",
        tables=lambda: make_tables(SHADOW),
        northbound=lay(type="", external_ids={"neutron:port_name": "mine"}),
        southbound=lay_hypervisor,
        finds=[],
        holds=lambda seen: not seen.of(SHADOW_PORT).ports,
    ),
)
