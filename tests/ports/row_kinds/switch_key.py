"""Cases of datapath keys."""

from tests.ports.row_kinds.case import Case, lay_switch

from isthmus.dataplane.kind.switch_key import SWITCH_KEY
from isthmus.dataplane.protocols import Tables
from isthmus.dataplane.row_kind import Observed
from isthmus.testing.site_tables import DATAPATH_KEY, NET, make_tables


def lay_without_key(tables: Tables) -> None:
    lay_switch(tables).other_config = {"mcast_snoop": "false"}


def lay_another_key(tables: Tables) -> None:
    lay_switch(tables).other_config = {"requested-tnl-key": "4711"}


def as_wanted(observed: Observed) -> bool:
    switch = observed.of(SWITCH_KEY)[NET]
    return (switch.key, switch.given) == (DATAPATH_KEY, DATAPATH_KEY)


CASES = (
    Case(
        name="no key",
        tables=make_tables,
        northbound=lay_without_key,
        finds=[("ovn.switch_key.differs", NET)],
        holds=as_wanted,
    ),
    Case(
        name="another key",
        tables=make_tables,
        northbound=lay_another_key,
        finds=[("ovn.switch_key.differs", NET)],
        holds=as_wanted,
    ),
    Case(
        name="a switch that Neutron has not made yet",
        tables=make_tables,
        northbound=lambda tables: None,
        finds=[],
        holds=lambda seen: seen.of(SWITCH_KEY) == {},
    ),
)
