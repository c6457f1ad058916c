"""What is believed of a site's report of a port."""

import dataclasses
import uuid
from typing import Any

import pytest

from isthmus import errors
from isthmus.federation import port_report as rules
from isthmus.model.lease import Block
from isthmus.model.site import SiteName

SITE, OTHER = SiteName("one"), SiteName("two")
PORT, NET, SUBNET, GROUP = (str(uuid.uuid4()) for _ in range(4))
LOCATION = {"chassis": "hv1", "hostname": "host1", "encap_ip": "192.0.2.1", "port_key": 7}
STATE: dict[str, Any] = {
    "id": PORT,
    "network_id": NET,
    "project_id": "p",
    "name": "",
    "admin_state_up": True,
    "device_id": "d",
    "mac_address": "fa:16:3e:00:00:01",
    "fixed_ips": [{"subnet_id": SUBNET, "ip_address": "10.0.0.5"}],
    "security_groups": [GROUP],
    "allowed_address_pairs": [],
    "device_owner": "compute:nova",
    "binding:host_id": "host1",
    "isthmus:base": None,
    "isthmus:location": LOCATION,
}
NEW = rules.Facts(
    home=None,
    exists=False,
    mapped=True,
    owns_network=True,
    may_use_network=True,
    usable_groups=frozenset({GROUP}),
    keys=(Block(1, 1024),),
)
KNOWN = dataclasses.replace(NEW, home=SITE, exists=True, network_id=NET)
PAIR = {"allowed_address_pairs": [{"ip_address": "10.0.0.1"}]}


@pytest.mark.parametrize("facts", [NEW, KNOWN])
def test_what_is_its_own_is_believed(facts: rules.Facts) -> None:
    rules.check_form(PORT, STATE)
    rules.check_report(SITE, PORT, STATE, facts)


@pytest.mark.parametrize(
    ("said", "known", "error"),
    [
        # Whose port it is.
        ({}, {"home": OTHER}, errors.Conflict),
        ({}, {"home": None}, errors.Conflict),
        ({}, {"exists": False}, errors.NotFound),
        ({}, {"network_id": SUBNET}, errors.Invalid),
        ({}, {"mapped": False}, errors.NotFound),
        # Whose hypervisor and key.
        ({}, {"keys": ()}, errors.Conflict),
        ({"isthmus:location": {**LOCATION, "port_key": 1025}}, {}, errors.Conflict),
        ({}, {"key_holder": SUBNET}, errors.Stale),
        ({}, {"hypervisor_of": OTHER}, errors.Conflict),
        ({}, {"prefixes": ("198.51.100.0/24", "2001:db8::/32")}, errors.Conflict),
        ({}, {"prefix_of": OTHER}, errors.Conflict),
        # What the port may be.
        ({"device_owner": "network:router_gateway"}, {}, errors.Refused),
        ({"device_owner": "network:floatingip"}, {}, errors.Refused),
        ({"device_owner": "network:router_interface"}, {"of_router": True}, errors.Refused),
    ],
)
def test_what_is_not_its_own_is_refused(
    said: dict[str, Any], known: dict[str, Any], error: type[errors.IsthmusError]
) -> None:
    state = {**STATE, **said}
    rules.check_form(PORT, state)
    with pytest.raises(error) as caught:
        rules.check_report(SITE, PORT, state, dataclasses.replace(KNOWN, **known))
    assert caught.type is error


@pytest.mark.parametrize(
    ("said", "known", "error"),
    [
        ({}, {"mapped": False}, errors.NotFound),
        ({}, {"named_by": OTHER}, errors.Conflict),
        ({}, {"owns_network": False, "may_use_network": False}, errors.Refused),
        (
            {"project_id": "q", "device_owner": "network:dhcp"},
            {"owns_network": False, "may_use_network": False},
            errors.Refused,
        ),
    ],
)
def test_what_no_site_makes(
    said: dict[str, Any], known: dict[str, Any], error: type[errors.IsthmusError]
) -> None:
    with pytest.raises(error) as caught:
        rules.check_report(SITE, PORT, {**STATE, **said}, dataclasses.replace(NEW, **known))
    assert caught.type is error


@pytest.mark.parametrize(
    ("said", "known"),
    [
        # What central gave stays, whoever could have given it.
        ({"device_owner": "network:floatingip"}, {"device_owner": "network:floatingip"}),
        (PAIR, {"owns_network": False, "pairs": frozenset({("10.0.0.1", "")})}),
        ({}, {"usable_groups": frozenset(), "groups": frozenset({GROUP})}),
        # What central took away while the site had not heard of it yet: the merge leaves it away.
        ({**PAIR, "isthmus:base": PAIR}, {"owns_network": False}),
        ({"isthmus:base": {"security_groups": [GROUP]}}, {"usable_groups": frozenset()}),
        ({"qos_policy_id": GROUP}, {"usable_policy": frozenset({GROUP})}),
        ({"qos_policy_id": GROUP, "isthmus:base": {}}, {"policy": frozenset({GROUP})}),
        ({}, {"prefixes": ("192.0.2.0/28",)}),
        ({"isthmus:location": None}, {"keys": (), "hypervisor_of": OTHER}),
    ],
)
def test_what_is_right_all_the_same(said: dict[str, Any], known: dict[str, Any]) -> None:
    facts = dataclasses.replace(KNOWN, **known)
    rules.check_report(SITE, PORT, {**STATE, **said}, facts)
    assert rules.find_refused(PORT, {**STATE, **said}, facts) == {}


@pytest.mark.parametrize(
    ("said", "facts", "known", "refused"),
    [
        ({}, NEW, {"usable_groups": frozenset()}, "security_groups"),
        ({"isthmus:base": {}}, KNOWN, {"usable_groups": frozenset()}, "security_groups"),
        ({"qos_policy_id": GROUP}, NEW, {}, "qos_policy_id"),
        ({"qos_policy_id": GROUP, "isthmus:base": {}}, KNOWN, {}, "qos_policy_id"),
        (PAIR, NEW, {"owns_network": False}, "allowed_address_pairs"),
        ({**PAIR, "isthmus:base": {}}, KNOWN, {"owns_network": False}, "allowed_address_pairs"),
    ],
)
def test_what_is_left_out(
    said: dict[str, Any], facts: rules.Facts, known: dict[str, Any], refused: str
) -> None:
    facts = dataclasses.replace(facts, **known)
    rules.check_report(SITE, PORT, {**STATE, **said}, facts)
    assert set(rules.find_refused(PORT, {**STATE, **said}, facts)) == {refused}


@pytest.mark.parametrize(
    "said",
    [
        {"id": "not-an-id"},
        {"network_id": None},
        {"network_id": [NET]},
        {"project_id": None},
        {"project_id": "p" * 256},
        {"name": "n" * 256},
        {"name": 7},
        {"description": None},
        {"mac_address": "fa:16:3e:00:00"},
        {"mac_address": "00:00:00:00:00:00"},
        {"mac_address": "fa:16:3e:00:00:01\n"},
        {"fixed_ips": {}},
        {"fixed_ips": [{"subnet_id": SUBNET}]},
        {"fixed_ips": [{"subnet_id": SUBNET, "ip_address": "10.0.0.999"}]},
        {"fixed_ips": [{"subnet_id": SUBNET, "ip_address": "fe80::1%eth0"}]},
        {"fixed_ips": [{"subnet_id": SUBNET, "ip_address": "10.0.0.1"}] * 65},
        {"security_groups": ["all"]},
        {"qos_policy_id": "all"},
        {"security_groups": [GROUP] * 257},
        {"allowed_address_pairs": [{"ip_address": "everything"}]},
        {"allowed_address_pairs": [{"ip_address": "10.0.0.1", "mac_address": "x"}]},
        {"extra_dhcp_opts": [{"opt_name": "o" * 65, "opt_value": ""}]},
        {"extra_dhcp_opts": [{"opt_name": "a", "opt_value": "b", "ip_version": 5}]},
        {"admin_state_up": "yes"},
        {"port_security_enabled": 1},
        {"binding:host_id": "host; drop"},
        {"binding:host_id": "h" * 256},
        {"binding:profile": {"a": "x" * 5000}},
        {"binding:profile": []},
        {"status": 1},
        {"isthmus:base": "p"},
        {"isthmus:base": {"fixed_ips": 7}},
        {"isthmus:location": 5},
        {"isthmus:location": {}},
        {"isthmus:location": {**LOCATION, "port_key": 0}},
        {"isthmus:location": {**LOCATION, "port_key": 32768}},
        {"isthmus:location": {**LOCATION, "port_key": True}},
        {"isthmus:location": {**LOCATION, "port_key": "7"}},
        {"isthmus:location": {**LOCATION, "encap_ip": "not-an-ip; drop"}},
        {"isthmus:location": {**LOCATION, "encap_ip": "127.0.0.1"}},
        {"isthmus:location": {**LOCATION, "encap_ip": "224.0.0.1"}},
        {"isthmus:location": {**LOCATION, "encap_ip": "2001:DB8::1"}},
        {"isthmus:location": {**LOCATION, "encap_ip": 3221225985}},
        {"isthmus:location": {**LOCATION, "chassis": ""}},
        {"isthmus:location": {**LOCATION, "hostname": "h" * 300}},
        {"isthmus:location": {**LOCATION, "hostname": "a b"}},
    ],
)
def test_what_has_not_the_promised_form(said: dict[str, Any]) -> None:
    with pytest.raises(errors.Invalid):
        rules.check_form(PORT, {**STATE, **said})


def test_of_what_is_refused_in_part_the_rest_is_taken() -> None:
    gone = str(uuid.uuid4())
    addresses = [*STATE["fixed_ips"], {"subnet_id": gone, "ip_address": "10.9.0.1"}]
    state = {**STATE, "fixed_ips": addresses, "security_groups": [GROUP, gone]}
    facts = dataclasses.replace(NEW, missing_subnets=frozenset({gone}))
    left = rules.find_refused(PORT, state, facts)
    assert {name: type(why) for name, why in left.items()} == {
        "fixed_ips": errors.NotFound,
        "security_groups": errors.NotFound,
    }
    assert rules.without_missing("fixed_ips", state, facts) == STATE["fixed_ips"]
    assert rules.without_missing("security_groups", state, facts) == [GROUP]
    assert rules.without_missing("allowed_address_pairs", {**state, **PAIR}, facts) == []


def test_a_network_that_is_gone_is_said_to_be() -> None:
    with pytest.raises(errors.NotFound, match="deleted at central"):
        rules.check_report(SITE, PORT, STATE, dataclasses.replace(NEW, network_exists=False))


@pytest.mark.parametrize("name", ["name", "admin_state_up", "device_id", "security_groups"])
def test_a_first_report_says_what_a_port_is_made_of(name: str) -> None:
    state = {key: value for key, value in STATE.items() if key != name}
    with pytest.raises(errors.Invalid, match=name):
        rules.check_report(SITE, PORT, state, NEW)
