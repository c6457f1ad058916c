"""Cases of bindings; where northd binds shadows itself, no comparison ever finds one."""

from tests.ports.row_kinds.case import Case, lay_port, lay_switch
from tests.ports.row_kinds.shadow_port import COLUMNS, ID, lay_hypervisor

from isthmus.dataplane.kind.binding import BINDING
from isthmus.dataplane.protocols import Tables
from isthmus.testing.site_tables import make_shadow, make_tables

SHADOW = make_shadow(1)


def lay_unbound(tables: Tables) -> None:
    lay_port(tables, lay_switch(tables), ID, **COLUMNS)


CASES = (
    Case(
        name="a shadow that stands and is bound nowhere",
        tables=lambda: make_tables(SHADOW),
        northbound=lay_unbound,
        southbound=lay_hypervisor,
        finds=[("ovn.binding.differs", ID)],
        holds=lambda seen: (
            seen.of(BINDING)[ID].chassis == "hv-b" and seen.of(BINDING)[ID].tunnel_key == 101
        ),
    ),
)
