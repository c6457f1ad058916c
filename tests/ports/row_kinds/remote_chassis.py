"""Cases of hypervisors of other sites."""

from tests.ports.row_kinds.case import Case, lay_chassis

from isthmus.dataplane.kind.remote_chassis import REMOTE_CHASSIS, render_chassis
from isthmus.dataplane.protocols import Tables
from isthmus.dataplane.row_kind import Observed
from isthmus.testing.site_tables import MemoryTables, make_shadow, make_tables

#: A network whose switch Neutron has not made yet, so that the hypervisor is all there is to do.
LATER = "33333333-3333-3333-3333-333333333333"
SHADOW = make_shadow(1, network_id=LATER)
MARKS = {"external_ids": {"isthmus:shadow": "yes", "isthmus:site": "site2"}}
REMOTE = {**MARKS, "other_config": {"is-remote": "true"}}


def stretched_later() -> MemoryTables:
    tables = make_tables(SHADOW)
    tables.stretched[LATER] = 0xFFF002
    return tables


def as_wanted(observed: Observed) -> bool:
    return observed.of(REMOTE_CHASSIS).ours == render_chassis([SHADOW])


def lay_other_address(tables: Tables) -> None:
    lay_chassis(tables, "hv-b", "192.0.2.99", "site2/host-b", **REMOTE)


def lay_not_remote(tables: Tables) -> None:
    lay_chassis(tables, "hv-b", "192.0.2.2", "site2/host-b", **MARKS)


def lay_one_of_ours_and_one_of_the_site(tables: Tables) -> None:
    lay_chassis(tables, "hv-old", "192.0.2.98", "site2/host-old", **REMOTE)
    lay_chassis(tables, "hv-here", "192.0.2.1", "host-here")


def lay_the_same_name_here(tables: Tables) -> None:
    lay_chassis(tables, "hv-b", "192.0.2.1", "host-here")


DIFFERS = [("ovn.remote_chassis.differs", "hv-b")]
CASES = (
    Case(
        name="missing",
        tables=stretched_later,
        finds=DIFFERS,
        holds=as_wanted,
    ),
    Case(
        name="another tunnel address",
        tables=stretched_later,
        southbound=lay_other_address,
        finds=DIFFERS,
        holds=as_wanted,
    ),
    Case(
        name="not flagged as remote",
        tables=stretched_later,
        southbound=lay_not_remote,
        finds=DIFFERS,
        holds=as_wanted,
    ),
    Case(
        name="one that no shadow stands on goes, and the site's own stays",
        tables=make_tables,
        southbound=lay_one_of_ours_and_one_of_the_site,
        finds=[("ovn.remote_chassis.extra", "hv-old")],
        holds=lambda seen: (
            not seen.of(REMOTE_CHASSIS).ours
            and seen.of(REMOTE_CHASSIS).local["hv-here"].encap_ips == ("192.0.2.1",)
        ),
    ),
    Case(
        name="a name of the site's own is never taken",
        tables=stretched_later,
        southbound=lay_the_same_name_here,
        finds=[],
        holds=lambda seen: seen.of(REMOTE_CHASSIS).local["hv-b"].hostname == "host-here",
    ),
)
