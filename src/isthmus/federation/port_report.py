"""What is believed of a site's report of a port, held against what central itself gave. Pure.

A site is authenticated, and then believed only in what is its own: a port whose home it is, on a
network that is present there, with a port key of its lease, on a hypervisor of its own. What does
not hold is refused before anything is written.
"""

import ipaddress
import json
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import Any

from isthmus import errors
from isthmus.model import attribute
from isthmus.model.dataplane.ovn import LAST_PORT_KEY
from isthmus.model.form import (
    is_address,
    is_flag,
    is_id,
    is_list,
    is_mac,
    is_name,
    is_number,
    is_prefix,
    is_text,
    is_tunnel_address,
)
from isthmus.model.lease import Block
from isthmus.model.site import SiteName

#: Length of Neutron's column.
_PROFILE = 4095
#: Most entries of a list; Neutron's own limits are at or below them.
_MOST: Mapping[str, int] = {
    "fixed_ips": 64,
    "security_groups": 256,
    "allowed_address_pairs": 256,
    "extra_dhcp_opts": 64,
}

#: What a port that central has not cannot be made without.
_AT_FIRST = ("name", "admin_state_up", "security_groups", "device_id", "device_owner")

#: Owners of ports that Neutron trusts more than a server's, and that a site may have all the same.
_INTERFACE = "network:router_interface"
TRUSTED_OWNERS = frozenset({"network:dhcp", "network:distributed", _INTERFACE})
_NETWORK_OWNER = "network:"


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportedLocation:
    """Where a port is, as its site says."""

    chassis: str
    hostname: str
    encap_ip: str
    port_key: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What central knows that bears on a report."""

    home: SiteName | None
    exists: bool  #: central has the port
    #: Another site that named the port when central was restored, and has yet to report it.
    named_by: SiteName | None = None
    network_id: str | None = None  #: of central's port
    device_owner: str = ""  #: of central's port
    of_router: bool = False  #: the port's device is a router of central's
    groups: frozenset[str] = frozenset()  #: of central's port
    pairs: frozenset[tuple[str, str]] = frozenset()  #: (address, MAC) of central's port
    network_exists: bool = True  #: the port's network is at central
    mapped: bool  #: the network is at the site; it may be on its way from there
    owns_network: bool  #: the port's project owns the network, or has the rights of its owner
    may_use_network: bool  #: or it is shared with the project
    missing_subnets: frozenset[str] = frozenset()  #: of those named, which central does not have
    usable_groups: frozenset[str]  #: of the groups named, those that the project may use
    policy: frozenset[str] = frozenset()  #: the QoS policy of central's port
    usable_policy: frozenset[str] = frozenset()  #: the policy named, if the project may use it
    keys: tuple[Block, ...]  #: the site's port keys of the network
    key_holder: str | None = None  #: another port of the network that has the key
    hypervisor_of: SiteName | None = None  #: another site that has this name or tunnel address
    prefixes: tuple[str, ...] = ()  #: where the site's tunnel addresses must lie; () for anywhere
    prefix_of: SiteName | None = None  #: another site in whose prefixes the tunnel address lies


def check_form(port_id: str, state: Mapping[str, Any]) -> None:
    """Check types, lengths and ranges of a report; what it does not know it leaves alone.

    Raises:
        Invalid: something has not the promised form.
    """
    for said in (state, state.get(attribute.BASE) or {}):
        for name, holds in _FORM.items():
            if name in said and not holds(said[name]):
                raise errors.Invalid(
                    f"the report of port {port_id} has a {name} that is none: {_cut(said[name])}"
                )
        for name, most in _MOST.items():
            if len(said.get(name) or ()) > most:
                raise errors.Invalid(f"the report of port {port_id} has more than {most} {name}")
    parse_location(port_id, state.get(attribute.LOCATION))


def parse_location(port_id: str, body: Any) -> ReportedLocation | None:
    """Read where a port is; None where it is bound nowhere.

    Raises:
        Invalid: it has not the promised form.
    """
    if body is None:
        return None
    what = f"the report of port {port_id} has a location that is none"
    if not isinstance(body, Mapping):
        raise errors.Invalid(f"{what}: {_cut(body)}")
    found: list[Any] = [body.get(name) for name in ("chassis", "hostname", "encap_ip", "port_key")]
    chassis, hostname, address, key = found
    if not (is_name(chassis) and is_name(hostname)):
        raise errors.Invalid(f"{what}: its hypervisor is {_cut((chassis, hostname))}")
    if not is_tunnel_address(address):
        raise errors.Invalid(f"{what}: its tunnel address is {_cut(address)}")
    if not is_number(key) or not 1 <= key <= LAST_PORT_KEY:
        raise errors.Invalid(f"{what}: its port key is {_cut(key)}, not 1 to {LAST_PORT_KEY}")
    return ReportedLocation(chassis=chassis, hostname=hostname, encap_ip=address, port_key=key)


def check_report(site: SiteName, port_id: str, state: Mapping[str, Any], facts: Facts) -> None:
    """Tell whether a site may say this of a port.

    Args:
        site: who says it.
        port_id: of which port.
        state: what; its form is checked already.
        facts: what central knows.

    Raises:
        Conflict: the port, the hypervisor or the tunnel address is not the site's.
        NotFound: the network is not at the site, or the port was deleted at central.
        Invalid: it is the port's first report and lacks something.
        Refused: the project or the owner may not be what it says.
        Stale: the port key is still that of another port.
    """
    _check_home(site, port_id, state, facts)
    _check_owner(port_id, state, facts)
    location = parse_location(port_id, state.get(attribute.LOCATION))
    if location is not None:
        check_location(site, port_id, location, facts)


def _check_home(site: SiteName, port_id: str, state: Mapping[str, Any], facts: Facts) -> None:
    network_id = state["network_id"]
    if facts.home not in (None, site):
        raise errors.Conflict(f"port {port_id} lives at site {facts.home}", site=facts.home)
    if facts.exists and facts.home is None:
        raise errors.Conflict(
            f"port {port_id} has no home: a site that is to have it asks for a bundle"
        )
    if facts.exists and facts.network_id != network_id:
        raise errors.Invalid(f"port {port_id} is on network {facts.network_id}, not {network_id}")
    if not facts.exists and facts.home is not None:
        raise errors.NotFound(f"port {port_id} was deleted at central")
    if not facts.exists and facts.named_by is not None:
        raise errors.Conflict(
            f"port {port_id} is one that site {facts.named_by} named when it registered, and that "
            "site has yet to report it",
            site=facts.named_by,
        )
    if not facts.network_exists:
        raise errors.NotFound(
            f"network {network_id} was deleted at central, before it had heard of port {port_id}: "
            "the port works within its site until it is deleted there, and the network then goes"
        )
    if not facts.mapped:
        raise errors.NotFound(f"network {network_id} is not at site {site}, as central knows it")


def _check_owner(port_id: str, state: Mapping[str, Any], facts: Facts) -> None:
    project, owner = state["project_id"], state.get("device_owner") or ""
    missing = [] if facts.exists else [name for name in _AT_FIRST if name not in state]
    if missing:
        raise errors.Invalid(f"the first report of port {port_id} lacks {', '.join(missing)}")
    if (
        owner.startswith(_NETWORK_OWNER)
        and owner not in TRUSTED_OWNERS
        and owner != facts.device_owner
    ):
        raise errors.Refused(f"port {port_id}: no site makes ports of owner {owner!r}")
    if facts.of_router and state.get("device_owner", facts.device_owner) == _INTERFACE:
        raise errors.Refused(
            f"port {port_id}: its router is central's, where the interfaces of it are made"
        )
    if not facts.exists and not facts.may_use_network and (project or owner not in TRUSTED_OWNERS):
        raise errors.Refused(
            f"port {port_id}: project {project!r} may not use network {state['network_id']}: share "
            f"it with the project, or name the project in service_projects at central if it is an "
            f"administrator's or a service's"
        )


def find_refused(
    port_id: str, state: Mapping[str, Any], facts: Facts
) -> dict[str, errors.IsthmusError]:
    """Return the attributes that are not taken of a report which is taken otherwise, and why."""
    refused: dict[str, errors.IsthmusError] = {}
    foreign = groups_of(state) - facts.usable_groups - facts.groups
    if foreign and _changed(groups_of, state, facts):
        # The same words whether there is such a group or not: who may not use it must not learn.
        refused["security_groups"] = errors.NotFound(
            f"port {port_id}: project {state['project_id']!r} has no security group "
            f"{', '.join(sorted(foreign))}"
        )
    foreign = policy_of(state) - facts.usable_policy - facts.policy
    if foreign and _changed(policy_of, state, facts):
        refused["qos_policy_id"] = errors.NotFound(
            f"port {port_id}: project {state['project_id']!r} has no QoS policy {min(foreign)}"
        )
    if facts.missing_subnets:
        refused["fixed_ips"] = errors.NotFound(
            f"port {port_id}: central has no subnet {', '.join(sorted(facts.missing_subnets))} any "
            "more; the address works within its site until the port gives it up"
        )
    new_pairs = pairs_of(state) - facts.pairs
    if new_pairs and not facts.owns_network and _changed(pairs_of, state, facts):
        addresses = ", ".join(sorted(address for address, _ in new_pairs))
        refused["allowed_address_pairs"] = errors.Refused(
            f"port {port_id}: its project does not own the network, so it is not given the "
            f"allowed address pairs {addresses}"
        )
    return refused


def without_missing(name: str, state: Mapping[str, Any], facts: Facts) -> list[Any] | None:
    """Return what can be had of an attribute of which a part is refused."""
    if name == "fixed_ips":
        return [one for one in state[name] if one["subnet_id"] not in facts.missing_subnets]
    if name == "security_groups":
        return [one for one in state[name] if one in facts.usable_groups]
    return None if name == "qos_policy_id" else []


def _changed(
    read: Callable[[Mapping[str, Any]], frozenset[Any]], state: Mapping[str, Any], facts: Facts
) -> bool:
    """Tell whether a site says it changed something; else central's own stays (`merge`)."""
    base = state.get(attribute.BASE)
    return not facts.exists or (base is not None and read(base) != read(state))


def check_location(site: SiteName, port_id: str, location: ReportedLocation, facts: Facts) -> None:
    """Tell whether a site may say that a port is there.

    Args:
        site: the site that reports.
        port_id: the port.
        location: where it says that the port is.
        facts: what central itself knows.

    Raises:
        Conflict: the key, the hypervisor or the tunnel address is not the site's.
        Stale: the port key is still that of another port.
    """
    if not any(location.port_key in block for block in facts.keys):
        raise errors.Conflict(
            f"port {port_id}: port key {location.port_key} is not leased to {site}"
        )
    if facts.key_holder is not None:
        raise errors.Stale(
            f"port {port_id}: port key {location.port_key} is still that of port {facts.key_holder}"
        )
    where = f"port {port_id}: hypervisor {location.chassis} ({location.encap_ip})"
    if facts.hypervisor_of is not None:
        raise errors.Conflict(
            f"{where} has the name or the tunnel address of one of site {facts.hypervisor_of}"
        )
    if facts.prefixes and not lies_in(location.encap_ip, facts.prefixes):
        raise errors.Conflict(
            f"{where} is outside of the tunnel prefixes of site {site}: {', '.join(facts.prefixes)}"
        )
    if facts.prefix_of is not None:
        raise errors.Conflict(f"{where} is in the tunnel prefixes of site {facts.prefix_of}")


def lies_in(address: str, prefixes: Collection[str]) -> bool:
    """Tell whether an address lies in one of some prefixes."""
    found = ipaddress.ip_address(address)
    return any(found in ipaddress.ip_network(prefix) for prefix in prefixes)


def groups_of(port: Mapping[str, Any]) -> frozenset[str]:
    """Return the security groups of a port."""
    return frozenset(port.get("security_groups") or ())


def policy_of(port: Mapping[str, Any]) -> frozenset[str]:
    """Return the QoS policy of a port, as a set of at most one."""
    return frozenset({port["qos_policy_id"]} if port.get("qos_policy_id") else ())


def pairs_of(port: Mapping[str, Any]) -> frozenset[tuple[str, str]]:
    """Return the allowed address pairs of a port as (address, MAC); "" is the port's own MAC."""
    mac = port.get("mac_address")
    return frozenset(
        (pair["ip_address"], "" if pair.get("mac_address") in (None, mac) else pair["mac_address"])
        for pair in port.get("allowed_address_pairs") or ()
    )


def _cut(value: object) -> str:
    return repr(value)[:100]


def _is_host(value: object) -> bool:
    return value is None or value == "" or is_name(value)


def _is_fixed_ip(value: Any) -> bool:
    return (
        isinstance(value, Mapping)
        and is_id(value.get("subnet_id"))
        and is_address(value.get("ip_address"))
    )


def _is_pair(value: Any) -> bool:
    return (
        isinstance(value, Mapping)
        and is_prefix(value.get("ip_address"))
        and (value.get("mac_address") is None or is_mac(value["mac_address"]))
    )


def _is_option(value: Any) -> bool:
    return (
        isinstance(value, Mapping)
        and is_text(value.get("opt_name"), 64)
        and (value.get("opt_value") is None or is_text(value["opt_value"]))
        and value.get("ip_version", 4) in (4, 6)
    )


def _is_dns_name(value: object) -> bool:
    """Tell whether something can be a port's name in DNS; Neutron's own rule is its API's."""
    return value == "" or is_name(value)


def _is_profile(value: object) -> bool:
    if value is None:
        return True
    return isinstance(value, Mapping) and len(json.dumps(value)) <= _PROFILE


def _is_state(value: object) -> bool:
    """Tell whether something can be what both sides last agreed on of a port."""
    return value is None or isinstance(value, Mapping)


_FORM: Mapping[str, Callable[[Any], bool]] = {
    "id": is_id,
    "network_id": is_id,
    "project_id": is_text,
    "name": is_text,
    "description": is_text,
    "admin_state_up": is_flag,
    "port_security_enabled": is_flag,
    "mac_address": is_mac,
    "fixed_ips": is_list(_is_fixed_ip),
    "security_groups": is_list(is_id),
    "allowed_address_pairs": is_list(_is_pair),
    "extra_dhcp_opts": is_list(_is_option),
    "qos_policy_id": lambda value: value is None or is_id(value),
    "dns_name": _is_dns_name,
    "device_id": is_text,
    "device_owner": is_text,
    "binding:host_id": _is_host,
    "binding:vif_type": lambda value: value is None or is_text(value, 64),
    "binding:vnic_type": lambda value: is_text(value, 64),
    "binding:profile": _is_profile,
    "status": lambda value: is_text(value, 16),
    attribute.BASE: _is_state,
}
