"""Which shadows a site takes, and the rows they become."""

import dataclasses

import pytest

from isthmus import errors
from isthmus.dataplane import shadow as rules
from isthmus.dataplane.capability import OLD_SHADOW_LIMIT, parse_capability
from isthmus.dataplane.kind import remote_chassis, shadow_port
from isthmus.dataplane.kind.responder import (
    RaMode,
    ResponderKey,
    choose_mac,
    name_port,
    plan_responders,
)
from isthmus.dataplane.shadow import Surroundings
from isthmus.model.dataplane.ovn import LocalChassis, RaSubnet
from isthmus.model.dataplane.shadow import Shadow
from isthmus.model.site import SiteName

SHADOW = Shadow(
    port_id="p",
    network_id="n",
    site=SiteName("two"),
    chassis="hv",
    hostname="host",
    encap_ip="192.0.2.2",
    port_key=7,
    mac_address="fa:16:3e:00:00:01",
    addresses=("10.0.0.1", "fd00::1"),
    extra_macs=("fa:16:3e:00:00:02",),
    security_groups=("g1", "g2"),
)
AROUND = Surroundings(
    stretched=True,
    own_port=False,
    own_key_holder=None,
    shadow_key_holder=None,
    others_on_network=0,
    capability=parse_capability("23.03.1-20.27.0-70.6"),
    local_chassis={"here": LocalChassis(name="here", hostname="here", encap_ips=("192.0.2.1",))},
)


@pytest.mark.parametrize(
    ("shadow", "around", "error"),
    [
        ({}, {"stretched": False}, errors.Stale),
        ({}, {"own_port": True}, errors.Conflict),
        ({"port_key": 0}, {}, errors.Invalid),
        ({"port_key": 32768}, {}, errors.Invalid),
        ({}, {"own_key_holder": "mine"}, errors.Conflict),
        ({}, {"shadow_key_holder": "other"}, errors.Stale),
        ({}, {"others_on_network": OLD_SHADOW_LIMIT}, errors.Exhausted),
        ({"chassis": "here"}, {}, errors.Conflict),
        ({"encap_ip": "192.0.2.1"}, {}, errors.Conflict),
    ],
)
def test_what_is_not_taken(
    shadow: dict[str, object], around: dict[str, object], error: type[errors.IsthmusError]
) -> None:
    one = dataclasses.replace(SHADOW, **shadow)  # type: ignore[arg-type]
    where = dataclasses.replace(AROUND, **around)  # type: ignore[arg-type]
    with pytest.raises(error, match="shadow port p of site two") as caught:
        rules.check_shadow(one, where)
    assert type(caught.value) is error
    rules.check_shadow(SHADOW, AROUND)  # what differs from it alone is the reason


def test_the_limit_is_exact_and_goes_with_the_version() -> None:
    full = dataclasses.replace(AROUND, others_on_network=OLD_SHADOW_LIMIT)
    with pytest.raises(errors.Exhausted, match=str(OLD_SHADOW_LIMIT)):
        rules.check_shadow(SHADOW, full)
    rules.check_shadow(SHADOW, dataclasses.replace(full, others_on_network=OLD_SHADOW_LIMIT - 1))
    newer = dataclasses.replace(
        full, others_on_network=10_000, capability=parse_capability("24.03.2-20.33.0-72.6")
    )
    rules.check_shadow(SHADOW, newer)


@pytest.mark.parametrize(
    ("text", "version", "binds", "limit"),
    [
        ("23.03.1-20.27.0-70.6", "23.03.1", False, 680),
        ("23.06.2-20.27.2-73.6", "23.06.2", False, 680),
        ("23.09.0-20.29.0-73.7", "23.09.0", True, 680),
        ("24.03.1-20.33.0-72.6", "24.03.1", True, None),
        ("25.03.0-20.41.0-78.8", "25.03.0", True, None),
        ("", "", False, 680),
        ("unknown", "", False, 680),
    ],
)
def test_capability(text: str, version: str, binds: bool, limit: int | None) -> None:
    found = parse_capability(text)
    assert (found.version, found.binds_remote, found.shadow_limit) == (version, binds, limit)


def test_the_row_of_a_shadow() -> None:
    row = shadow_port.render_port(
        SHADOW, frozenset({"pg_g1", "pg_g3"}), lambda group: f"pg_{group}"
    )
    assert row.addresses == {
        "fa:16:3e:00:00:01 10.0.0.1 fd00::1",
        "fa:16:3e:00:00:02",
    }
    assert row.groups == {"pg_g1"}
    open_port = dataclasses.replace(SHADOW, accepts_unknown=True)
    assert "unknown" in shadow_port.render_addresses(open_port)
    flooded = dataclasses.replace(SHADOW, accepts_unknown=True, answered=False, extra_macs=())
    assert shadow_port.render_addresses(flooded) == {"unknown"}
    hypervisor = remote_chassis.render_chassis([SHADOW])["hv"]
    assert hypervisor.hostname == "two/host"
    assert hypervisor.encap_ip == "192.0.2.2"


def test_hypervisors_of_two_sites_must_differ() -> None:
    other = dataclasses.replace(SHADOW, port_id="q", site=SiteName("three"))
    with pytest.raises(errors.Conflict, match="site two"):
        rules.check_hypervisor(other, [SHADOW])
    rules.check_hypervisor(dataclasses.replace(other, chassis="x", encap_ip="192.0.2.3"), [SHADOW])


def test_a_hypervisor_that_changes_is_recognised() -> None:
    renamed = dataclasses.replace(SHADOW, port_id="q", chassis="new")
    moved = dataclasses.replace(SHADOW, port_id="q", encap_ip="192.0.2.8")
    elsewhere = dataclasses.replace(SHADOW, port_id="q", chassis="x", encap_ip="192.0.2.9")
    assert rules.find_outdated(renamed, [SHADOW]) == ["hv"]
    assert rules.find_outdated(moved, [SHADOW]) == ["hv"]
    assert rules.find_outdated(elsewhere, [SHADOW]) == []
    assert rules.find_outdated(SHADOW, [SHADOW]) == []
    assert rules.follow(renamed, SHADOW) == dataclasses.replace(SHADOW, chassis="new")


def test_responders() -> None:
    base = RaSubnet(network_id="n", cidr="fd00::/64", ra_mode="slaac", mtu=1442, routed=False)
    subnets = [
        base,
        dataclasses.replace(base, cidr="fd01::/64"),
        dataclasses.replace(base, cidr="fd02::/64", ra_mode="dhcpv6-stateful"),
        dataclasses.replace(base, cidr="fd03::/64", routed=True),
        dataclasses.replace(base, network_id="m", cidr="fd04::/64", ra_mode="dhcpv6-stateless"),
    ]
    keys = {name_port(ResponderKey("n", mode)): 10 for mode in RaMode}
    found = plan_responders(subnets, keys.get)
    slaac, stateful = ResponderKey("n", RaMode.SLAAC), ResponderKey("n", RaMode.STATEFUL)
    assert found.keys() == {slaac, stateful}, "network m waits for a key"
    assert found[slaac].networks == {"fd00::/64", "fd01::/64"}
    assert found[stateful].networks == {"fd02::/64"}
    assert found[slaac].mac == choose_mac(slaac) != found[stateful].mac
    assert int(found[slaac].mac[:2], 16) & 3 == 2, "locally administered, no multicast"


def test_a_shadow_travels_whole() -> None:
    assert Shadow.from_dict(SHADOW.to_dict()) == SHADOW


@pytest.mark.parametrize(
    "said",
    [
        {"port_id": "p" * 37},
        {"port_id": 'p" or 1'},
        {"network_id": None},
        {"chassis": "hv 1"},
        {"chassis": ["hv"]},
        {"hostname": "h" * 256},
        {"encap_ip": "not-an-ip; drop"},
        {"encap_ip": "::1"},
        {"encap_ip": "0.0.0.0"},
        {"port_key": "7"},
        {"port_key": 2**40},
        {"port_key": True},
        {"mac_address": "fa:16:3e:00:00:01 10.0.0.1"},
        {"addresses": "10.0.0.1"},
        {"addresses": ["10.0.0.0/8"]},
        {"addresses": ["10.0.0.1"] * 513},
        {"extra_macs": ["unknown"]},
        {"accepts_unknown": "false"},
        {"security_groups": ["g 1"]},
    ],
)
def test_what_no_shadow_is(said: dict[str, object]) -> None:
    with pytest.raises(errors.ProtocolError):
        Shadow.from_dict({**SHADOW.to_dict(), **said})
