"""What a site tells of one network alone: what is of it, and nothing of the others."""

from typing import Any

import pytest
from typing_extensions import override

from isthmus.dataplane.holdings import Part, collect, narrow_changes
from isthmus.dataplane.protocols import Tables
from isthmus.dataplane.reconcile import Reconciler
from isthmus.dataplane.row_kind import Change, Phase
from isthmus.dataplane.scope import CHASSIS, NETWORKS, PORTS, ROUTERS
from isthmus.testing.ovn_memory import MemoryOvn
from isthmus.testing.row_kinds import desire, see
from isthmus.testing.site_tables import DATAPATH_KEY, NET, MemoryTables, make_shadow

OTHER = "33333333-3333-3333-3333-333333333333"


class LayPort:
    """A switch of Neutron's, with a port on it."""

    def __init__(self, network_id: str, port_id: str) -> None:
        self._network_id, self._port_id = network_id, port_id

    def write(self, tables: Tables) -> None:
        switch, port = tables.insert("Logical_Switch"), tables.insert("Logical_Switch_Port")
        switch.name, port.name = f"neutron-{self._network_id}", self._port_id
        switch.addvalue("ports", port.uuid)


@pytest.fixture
def site() -> tuple[MemoryOvn, MemoryTables]:
    """Two networks, each with a port of the site's own and a shadow on a hypervisor of its own."""
    ovn, tables = MemoryOvn(), MemoryTables()
    tables.stretched |= {NET: DATAPATH_KEY, OTHER: DATAPATH_KEY + 1}
    tables.keys |= {"own1": (NET, 7), "own2": (OTHER, 7)}
    tables.put(
        make_shadow(1),
        make_shadow(2, network_id=OTHER, chassis="hv-c", hostname="host-c", encap_ip="192.0.2.3"),
    )
    commands = [LayPort(NET, "own1"), LayPort(OTHER, "own2")]
    assert ovn.rows.nb.commit(commands) == []
    thread = Reconciler(ovn.connect, tables, 3600)
    thread.start()
    try:
        assert thread.wait_idle(30)
    finally:
        thread.stop()
    return ovn, tables


def of(network_id: str) -> Part:
    return Part(networks=[network_id], routers=[])


def test_each_part_has_what_is_of_the_network(site: tuple[MemoryOvn, MemoryTables]) -> None:
    ovn, tables = site
    whole = collect(ovn.rows, tables)
    for part in ("switches", "ports", "shadows", "port_keys"):
        assert {row["network_id"] for row in whole[part]} == {NET, OTHER}, part
    for network_id in (NET, OTHER):
        found = collect(ovn.rows, tables, of(network_id))
        assert found.keys() == whole.keys()
        assert found["chassis"] == whole["chassis"]
        for part in ("switches", "ports", "shadows", "port_keys"):
            wanted = [row for row in whole[part] if row["network_id"] == network_id]
            assert found[part] == wanted, part
        assert found["drift"] == []


def _shadow_lost(ovn: MemoryOvn, tables: MemoryTables) -> None:
    tables.put(make_shadow(3))


def _key_changed(ovn: MemoryOvn, tables: MemoryTables) -> None:
    ovn.change("Logical_Switch_Port", "own1", options={"requested-tnl-key": "99"})


def _switch_key_changed(ovn: MemoryOvn, tables: MemoryTables) -> None:
    ovn.change("Logical_Switch", f"neutron-{NET}", other_config={"requested-tnl-key": "5"})


def _hypervisor_changed(ovn: MemoryOvn, tables: MemoryTables) -> None:
    tables.put(make_shadow(1, encap_ip="192.0.2.9"))


@pytest.mark.parametrize(
    "break_it", [_shadow_lost, _key_changed, _switch_key_changed, _hypervisor_changed]
)
def test_a_fault_of_one_network_is_found_there_alone(
    site: tuple[MemoryOvn, MemoryTables], break_it: Any
) -> None:
    ovn, tables = site
    break_it(ovn, tables)
    whole = collect(ovn.rows, tables)["drift"]
    assert whole
    assert collect(ovn.rows, tables, of(NET))["drift"] == whole
    assert collect(ovn.rows, tables, of(OTHER))["drift"] == []


class Fault(Change):
    """A change of anything."""

    phase = Phase.PUT
    code = "x"
    what = "x"

    def __init__(self, name: str) -> None:
        self.name = name

    @property
    @override
    def subject(self) -> str:
        return self.name

    @override
    def write(self, tables: Tables) -> None: ...

    @override
    def __str__(self) -> str:
        return self.name


def fault(subject: str, name: str) -> Change:
    class OfSubject(Fault):
        about = subject

    return OfSubject(name)


@pytest.mark.parametrize(
    ("about", "name", "kept"),
    [
        (NETWORKS, NET, True),
        (NETWORKS, OTHER, False),
        (PORTS, "own1", True),
        (PORTS, "own2", False),
        (PORTS, "nobody knows its network", True),
        (ROUTERS, "router", True),
        (ROUTERS, "another", False),
        (CHASSIS, "hv of no port", False),
        ("", "what is of nobody in particular", True),
    ],
)
def test_who_a_change_concerns(about: str, name: str, kept: bool) -> None:
    found = narrow_changes(
        [fault(about, name)],
        Part(networks=[NET], routers=["router"]),
        desired=desire(),
        observed=see(),
        port_keys={"own1": (NET, 1), "own2": (OTHER, 1)},
    )
    assert bool(found) is kept
