"""Cases of shadow ports in port groups."""

from collections.abc import Callable

from tests.ports.row_kinds.case import Case, lay_port, lay_switch
from tests.ports.row_kinds.shadow_port import COLUMNS, ID, lay_hypervisor

from isthmus.dataplane.kind.shadow_port import SHADOW_PORT
from isthmus.dataplane.protocols import Tables
from isthmus.testing.site_tables import make_shadow, make_tables

SHADOW = make_shadow(1, security_groups=("one", "nowhere"))


def lay(member_of: str) -> Callable[[Tables], None]:
    def act(tables: Tables) -> None:
        port = lay_port(tables, lay_switch(tables), ID, **COLUMNS)
        for name in ("pg_one", "pg_two"):
            group = tables.insert("Port_Group")
            group.name = name
            group.ports = [port] if name == member_of else []

    return act


CASES = (
    Case(
        name="in no group",
        tables=lambda: make_tables(SHADOW),
        northbound=lay(""),
        southbound=lay_hypervisor,
        finds=[("ovn.group_member.missing", f"pg_one {ID}")],
        holds=lambda seen: seen.of(SHADOW_PORT).ports[ID].groups == {"pg_one"},
    ),
    Case(
        name="in another group",
        tables=lambda: make_tables(SHADOW),
        northbound=lay("pg_two"),
        southbound=lay_hypervisor,
        finds=[
            ("ovn.group_member.missing", f"pg_one {ID}"),
            ("ovn.group_member.extra", f"pg_two {ID}"),
        ],
        holds=lambda seen: seen.of(SHADOW_PORT).ports[ID].groups == {"pg_one"},
    ),
)
