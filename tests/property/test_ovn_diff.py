"""Plans for OVN rows: carried out once they leave nothing to do, and they touch nothing foreign."""

import dataclasses

import hypothesis.strategies as st
from hypothesis import given

from isthmus.dataplane.capability import parse_capability
from isthmus.dataplane.ovn_diff import diff_rows
from isthmus.federation.leases.key import choose_fresh, count_fresh
from isthmus.model.dataplane.ovn import (
    Binding,
    Capability,
    Desired,
    LocalChassis,
    Observed,
    Plan,
    RaMode,
    RemoteChassis,
    RemotePort,
    Responder,
    ResponderKey,
    SwitchPort,
)
from isthmus.model.lease import Block
from isthmus.model.site import SiteName

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


desired_rows = st.builds(
    Desired,
    switch_keys=st.dictionaries(st.sampled_from(NETWORKS), st.integers(1, 3)),
    port_keys=st.dictionaries(st.sampled_from(["own1", "own2"]), st.integers(1, 3)),
    ports=by_id(remote_ports),
    chassis=st.lists(chassis).map(lambda found: {one.name: one for one in found}),
    responders=st.lists(responders, max_size=3).map(lambda found: {one.key: one for one in found}),
)
observed_rows = st.builds(
    Observed,
    switches=st.dictionaries(st.sampled_from(NETWORKS), st.none() | st.integers(1, 3)),
    groups=st.just(frozenset(GROUPS)),
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
    ports = dict(before.ports)
    for _, port_id in plan.remove_ports:
        ports.pop(port_id)
    for port in plan.put_ports:
        old = ports.get(port.port_id)
        kept = old.groups if old is not None and old.network_id == port.network_id else frozenset()
        ports[port.port_id] = dataclasses.replace(port, groups=kept)
    for group, port_id in plan.join_groups:
        ports[port_id] = dataclasses.replace(ports[port_id], groups=ports[port_id].groups | {group})
    for group, port_id in plan.leave_groups:
        ports[port_id] = dataclasses.replace(ports[port_id], groups=ports[port_id].groups - {group})
    rows = {name: one for name, one in before.chassis.items() if name not in plan.remove_chassis}
    bindings = dict(before.bindings)
    for port_id, name in plan.bind:
        bindings[port_id] = dataclasses.replace(bindings[port_id], chassis=name)
    own = dict(before.own_ports)
    for port_id, key in plan.set_port_keys:
        own[port_id] = dataclasses.replace(own[port_id], port_key=key)
    gone = {one.key for one in plan.remove_responders}
    routers = {key: one for key, one in before.responders.items() if key not in gone}
    return dataclasses.replace(
        before,
        ports=ports,
        chassis={**rows, **{one.name: one for one in plan.put_chassis}},
        bindings=bindings,
        switches={**before.switches, **dict(plan.set_switch_keys)},
        own_ports=own,
        responders={**routers, **{one.key: one for one in plan.put_responders}},
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
        for port_id, one in desired.ports.items()
        if one.network_id in observed.switches
    }
    assert after.ports == there
    assert after.chassis == desired.chassis
    assert after.local_chassis == observed.local_chassis


@given(desired_rows, observed_rows)
def test_new_northd_binds_by_itself(desired: Desired, observed: Observed) -> None:
    assert diff_rows(desired, observed, NEW).bind == ()


@given(desired_rows, observed_rows)
def test_names_of_this_site_are_never_taken(desired: Desired, observed: Observed) -> None:
    here = {name: LocalChassis(name=name, hostname="", encap_ips=()) for name in HYPERVISORS}
    taken = {port_id: SwitchPort(network_id="n1", type="", port_key=1) for port_id in desired.ports}
    clash = dataclasses.replace(observed, local_chassis=here, own_ports=taken, ports={}, chassis={})
    plan = diff_rows(desired, clash, OLD)
    assert plan.put_chassis == ()
    assert plan.put_ports == ()


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
