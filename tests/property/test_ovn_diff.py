"""Plans for OVN rows: carried out once they leave nothing to do, and they touch nothing foreign."""

import dataclasses

import hypothesis.strategies as st
from hypothesis import given

from isthmus.dataplane.capability import parse_capability
from isthmus.dataplane.kind.binding import BINDING, Bind
from isthmus.dataplane.kind.group_member import JoinGroup, LeaveGroup
from isthmus.dataplane.kind.port_key import PORT_KEY, SetPortKey, SwitchPort
from isthmus.dataplane.kind.remote_chassis import (
    REMOTE_CHASSIS,
    Hypervisors,
    PutChassis,
    RemoteChassis,
    RemoveChassis,
)
from isthmus.dataplane.kind.responder import (
    RESPONDER,
    PutResponder,
    RaMode,
    RemoveResponder,
    Responder,
    ResponderKey,
)
from isthmus.dataplane.kind.shadow_port import (
    SHADOW_PORT,
    PutShadowPort,
    RemotePort,
    RemoveShadowPort,
    ShadowPorts,
)
from isthmus.dataplane.kind.switch_key import SWITCH_KEY, SetSwitchKey, Switch
from isthmus.dataplane.plan import Plan, diff_rows
from isthmus.dataplane.row_kind import Desired, Observed
from isthmus.federation.leases.key import choose_fresh, count_fresh
from isthmus.model.dataplane.ovn import Binding, Capability, LocalChassis
from isthmus.model.lease import Block
from isthmus.model.site import SiteName
from isthmus.testing.row_kinds import desire, replace, see

NETWORKS = ("n1", "n2")
GROUPS = ("g1", "g2")
HYPERVISORS = ("h1", "h2", "h3")
OLD = parse_capability("23.03.1-20.27.0-70.6")
NEW = parse_capability("25.03.0-20.41.0-78.8")

remote_ports = st.builds(
    RemotePort,
    port_id=st.sampled_from([f"p{number}" for number in range(6)]),
    network_id=st.sampled_from(NETWORKS),
    site=st.just(SiteName("two")),
    chassis=st.sampled_from(HYPERVISORS),
    port_key=st.integers(1, 9),
    addresses=st.frozensets(st.sampled_from(["m1 a1", "m2 a2", "unknown"]), min_size=1),
    groups=st.frozensets(st.sampled_from(GROUPS)),
)
chassis = st.builds(
    RemoteChassis,
    name=st.sampled_from(HYPERVISORS),
    hostname=st.just("two/h"),
    encap_ip=st.sampled_from(["192.0.2.1", "192.0.2.2"]),
    site=st.just(SiteName("two")),
)
responders = st.builds(
    Responder,
    key=st.builds(ResponderKey, st.sampled_from(NETWORKS), st.sampled_from(list(RaMode))),
    port_id=st.sampled_from(["r1", "r2"]),
    port_key=st.integers(1, 3),
    mac=st.just("02:69:73:00:00:01"),
    networks=st.frozensets(st.sampled_from(["fd00::/64", "fd01::/64"]), min_size=1),
    mtu=st.sampled_from([1400, 1442]),
)


def by_id(rows: st.SearchStrategy[RemotePort]) -> st.SearchStrategy[dict[str, RemotePort]]:
    return st.lists(rows, max_size=6).map(lambda found: {one.port_id: one for one in found})


def make_desired(
    switch_keys: dict[str, int],
    port_keys: dict[str, int],
    ports: dict[str, RemotePort],
    chassis: dict[str, RemoteChassis],
    responders: dict[ResponderKey, Responder],
) -> Desired:
    return desire(
        (SWITCH_KEY, switch_keys),
        (PORT_KEY, port_keys),
        (SHADOW_PORT, ports),
        (REMOTE_CHASSIS, chassis),
        (RESPONDER, responders),
    )


def make_observed(
    switches: dict[str, int | None],
    ports: dict[str, RemotePort],
    own_ports: dict[str, SwitchPort],
    chassis: dict[str, RemoteChassis],
    local_chassis: dict[str, LocalChassis],
    bindings: dict[str, Binding],
    responders: dict[ResponderKey, Responder],
) -> Observed:
    return see(
        (SWITCH_KEY, {network_id: Switch(key=key) for network_id, key in switches.items()}),
        (SHADOW_PORT, ShadowPorts(ports=ports, groups=frozenset(GROUPS))),
        (PORT_KEY, own_ports),
        (REMOTE_CHASSIS, Hypervisors(ours=chassis, local=local_chassis)),
        (BINDING, bindings),
        (RESPONDER, responders),
    )


desired_rows = st.builds(
    make_desired,
    switch_keys=st.dictionaries(st.sampled_from(NETWORKS), st.integers(1, 3)),
    port_keys=st.dictionaries(st.sampled_from(["own1", "own2"]), st.integers(1, 3)),
    ports=by_id(remote_ports),
    chassis=st.lists(chassis).map(lambda found: {one.name: one for one in found}),
    responders=st.lists(responders, max_size=3).map(lambda found: {one.key: one for one in found}),
)
observed_rows = st.builds(
    make_observed,
    switches=st.dictionaries(st.sampled_from(NETWORKS), st.none() | st.integers(1, 3)),
    ports=by_id(
        remote_ports.flatmap(
            lambda one: st.booleans().map(lambda intact: dataclasses.replace(one, intact=intact))
        )
    ),
    own_ports=st.dictionaries(
        st.sampled_from(["own1", "own2"]),
        st.builds(
            SwitchPort,
            network_id=st.sampled_from(NETWORKS),
            type=st.just(""),
            port_key=st.none() | st.integers(1, 3),
        ),
    ),
    chassis=st.lists(chassis).map(lambda found: {one.name: one for one in found}),
    local_chassis=st.sampled_from(
        [{}, {"here": LocalChassis(name="here", hostname="here", encap_ips=("192.0.2.9",))}]
    ),
    bindings=st.dictionaries(
        st.sampled_from([f"p{number}" for number in range(6)]),
        st.builds(
            Binding, tunnel_key=st.integers(1, 9), chassis=st.sampled_from(["", *HYPERVISORS])
        ),
    ),
    responders=st.lists(responders, max_size=3).map(lambda found: {one.key: one for one in found}),
)


def carry_out(plan: Plan, before: Observed) -> Observed:
    """Do to a picture of OVN what the writer does to OVN."""
    ports = dict(before.of(SHADOW_PORT).ports)
    for gone in plan.of(RemoveShadowPort):
        ports.pop(gone.port_id)
    for put in plan.of(PutShadowPort):
        port, old = put.row, ports.get(put.row.port_id)
        kept = old.groups if old is not None and old.network_id == port.network_id else frozenset()
        ports[port.port_id] = dataclasses.replace(port, groups=kept)
    for join in plan.of(JoinGroup):
        port = ports[join.port_id]
        ports[join.port_id] = dataclasses.replace(port, groups=port.groups | {join.group})
    for leave in plan.of(LeaveGroup):
        port = ports[leave.port_id]
        ports[leave.port_id] = dataclasses.replace(port, groups=port.groups - {leave.group})
    hypervisors = before.of(REMOTE_CHASSIS)
    left = {one.name for one in plan.of(RemoveChassis)}
    rows = {name: one for name, one in hypervisors.ours.items() if name not in left}
    rows |= {one.row.name: one.row for one in plan.of(PutChassis)}
    bindings = dict(before.of(BINDING))
    for bind in plan.of(Bind):
        bindings[bind.port_id] = dataclasses.replace(bindings[bind.port_id], chassis=bind.chassis)
    own = dict(before.of(PORT_KEY))
    for key in plan.of(SetPortKey):
        own[key.port_id] = dataclasses.replace(own[key.port_id], port_key=key.key)
    removed = {one.row.key for one in plan.of(RemoveResponder)}
    routers = {key: one for key, one in before.of(RESPONDER).items() if key not in removed}
    switches = {one.network_id: Switch(key=one.key) for one in plan.of(SetSwitchKey)}
    return replace(
        before,
        (SHADOW_PORT, dataclasses.replace(before.of(SHADOW_PORT), ports=ports)),
        (REMOTE_CHASSIS, dataclasses.replace(hypervisors, ours=rows)),
        (BINDING, bindings),
        (SWITCH_KEY, {**before.of(SWITCH_KEY), **switches}),
        (PORT_KEY, own),
        (RESPONDER, {**routers, **{one.row.key: one.row for one in plan.of(PutResponder)}}),
    )


@given(desired_rows, observed_rows, st.sampled_from([OLD, NEW]))
def test_a_plan_carried_out_leaves_nothing_to_do(
    desired: Desired, observed: Observed, capability: Capability
) -> None:
    plan = diff_rows(desired, observed, capability)
    after = carry_out(plan, observed)
    again = diff_rows(desired, after, capability)
    assert not again, again
    there = {
        port_id: one
        for port_id, one in desired.of(SHADOW_PORT).items()
        if one.network_id in observed.of(SWITCH_KEY)
    }
    assert after.of(SHADOW_PORT).ports == there
    assert after.of(REMOTE_CHASSIS).ours == desired.of(REMOTE_CHASSIS)
    assert after.of(REMOTE_CHASSIS).local == observed.of(REMOTE_CHASSIS).local


@given(desired_rows, observed_rows)
def test_new_northd_binds_by_itself(desired: Desired, observed: Observed) -> None:
    assert diff_rows(desired, observed, NEW).of(Bind) == []


@given(desired_rows, observed_rows)
def test_names_of_this_site_are_never_taken(desired: Desired, observed: Observed) -> None:
    here = {name: LocalChassis(name=name, hostname="", encap_ips=()) for name in HYPERVISORS}
    taken = {
        port_id: SwitchPort(network_id="n1", type="", port_key=1)
        for port_id in desired.of(SHADOW_PORT)
    }
    clash = replace(
        observed,
        (REMOTE_CHASSIS, Hypervisors(ours={}, local=here)),
        (PORT_KEY, taken),
        (SHADOW_PORT, dataclasses.replace(observed.of(SHADOW_PORT), ports={})),
    )
    plan = diff_rows(desired, clash, OLD)
    assert plan.of(PutChassis) == []
    assert plan.of(PutShadowPort) == []


@given(desired_rows, observed_rows, st.sampled_from([OLD, NEW]))
def test_a_plan_is_written_in_the_order_of_what_refers_to_what(
    desired: Desired, observed: Observed, capability: Capability
) -> None:
    """The order in which plans were written before there was a registry of kinds."""
    order = (
        PutChassis,
        RemoveResponder,
        RemoveShadowPort,
        SetSwitchKey,
        SetPortKey,
        PutShadowPort,
        JoinGroup,
        LeaveGroup,
        PutResponder,
        Bind,
        RemoveChassis,
    )
    places = [order.index(type(one)) for one in diff_rows(desired, observed, capability).changes]
    assert places == sorted(places)


@given(
    st.lists(st.integers(1, 40), unique=True, max_size=12),
    st.lists(st.tuples(st.integers(0, 7), st.integers(0, 4)), min_size=1, max_size=6),
)
def test_a_fresh_key_was_never_given_out(used: list[int], shapes: list[tuple[int, int]]) -> None:
    # Blocks as leases are: they never overlap.
    blocks = [Block(1 + 5 * at, 1 + 5 * at + size) for at, size in dict(shapes).items()]

    def highest(block: Block) -> int | None:
        return max((one for one in used if one in block), default=None)

    key = choose_fresh(blocks, highest)
    fresh = count_fresh(blocks, highest)
    if key is None:
        assert fresh == 0
    else:
        assert key not in used
        assert any(key in block for block in blocks)
        assert fresh > 0
