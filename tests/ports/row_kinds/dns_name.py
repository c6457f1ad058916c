"""Cases of names of other sites' ports."""

import dataclasses
from collections.abc import Callable
from typing import Any

from tests.ports.row_kinds.case import Case, lay_port, lay_switch
from tests.ports.row_kinds.shadow_port import COLUMNS, lay_hypervisor

from isthmus.dataplane.kind.dns_name import DNS_NAME
from isthmus.dataplane.protocols import Tables
from isthmus.dataplane.row_kind import Observed
from isthmus.testing.site_tables import NET, MemoryTables, make_shadow, make_tables

SHADOW = make_shadow(
    5, names=("web.example.org", "web", "web.inner"), addresses=("10.0.0.5", "fd00::5")
)
BOTH = "10.0.0.5 fd00::5"
RECORDS = {
    "web.example.org": BOTH,
    "web": BOTH,
    "web.inner": BOTH,
    "5.0.0.10.in-addr.arpa": "web.example.org",
    f"5.{'0.' * 27}0.0.d.f.ip6.arpa": "web.example.org",
}
ROW = {
    "external_ids": {"isthmus:shadow": NET, "isthmus:port": SHADOW.port_id},
    "records": RECORDS,
}
SHADOW_ROW = {
    **COLUMNS,
    "options": {"requested-tnl-key": "105", "requested-chassis": "hv-b"},
    "addresses": [f"fa:16:02:00:00:05 {BOTH}"],
}
#: ML2/OVN's, of the site's own ports.
OTHERS = {"external_ids": {"ls_name": f"neutron-{NET}"}, "records": {"mine": "10.0.0.9"}}


def named() -> MemoryTables:
    return make_tables(SHADOW)


def nameless() -> MemoryTables:
    return make_tables(dataclasses.replace(SHADOW, names=()))


def lay(*rows: dict[str, Any], on_switch: bool = True) -> Callable[[Tables], None]:
    def act(tables: Tables) -> None:
        switch = lay_switch(tables)
        lay_port(tables, switch, SHADOW.port_id, **SHADOW_ROW)
        for values in rows:
            row = tables.insert("DNS")
            for name, value in values.items():
                setattr(row, name, value)
            if on_switch:
                switch.addvalue("dns_records", row)

    return act


def as_wanted(observed: Observed) -> bool:
    found = observed.of(DNS_NAME)
    return (
        list(found) == [SHADOW.port_id]
        and found[SHADOW.port_id].intact
        and found[SHADOW.port_id].records == RECORDS
    )


def none(observed: Observed) -> bool:
    return not observed.of(DNS_NAME)


DIFFERS, EXTRA = ("ovn.dns_name.differs", SHADOW.port_id), ("ovn.dns_name.extra", SHADOW.port_id)


def case(
    name: str, rows: Callable[[Tables], None], finds: list[tuple[str, str]], **more: Any
) -> Case:
    return Case(
        name=name,
        northbound=rows,
        southbound=lay_hypervisor,
        finds=finds,
        **{"tables": named, "holds": as_wanted, **more},
    )


CASES = (
    case("missing", lay(OTHERS), [DIFFERS]),
    case("as it should be, beside Neutron's", lay(ROW, OTHERS), []),
    case("another address", lay({**ROW, "records": {**RECORDS, "web": "10.0.0.6"}}), [DIFFERS]),
    case("no switch has it", lay(ROW, on_switch=False), [DIFFERS]),
    case("of a port without a name", lay(ROW, OTHERS), [EXTRA], tables=nameless, holds=none),
)
