"""The JSON form of what a router has at one site, as central sends it and the site keeps it.

Reading bounds and checks every value, since all of them end in rows of OVN: a number where a key is
promised, an address where an address is, and nothing longer than a router can use.
"""

import enum
import ipaddress
from collections.abc import Callable, Mapping
from ipaddress import IPv4Address, IPv4Network
from typing import Any, TypeVar

from isthmus import errors
from isthmus.model import form
from isthmus.model.dataplane.ovn import LAST_PORT_KEY
from isthmus.model.exits.plan import (
    MOST_FORWARDED,
    Exit,
    FloatingLimit,
    FloatingNat,
    Forwarded,
    Lack,
    Purpose,
    ReturnPolicy,
    Route,
    SitePlan,
    Snat,
    TransitPeer,
    TransitPort,
    Way,
)
from isthmus.model.exits.request import (
    Address,
    Direction,
    Hypervisor,
    Limit,
    Ports,
    Prefix,
    Protocol,
)
from isthmus.model.site import SiteName

#: Most routes, policies or translations of one router at one site.
MOST = 4096
#: Most sites, and most addresses of one port.
_MOST_SITES = 512
_SITE = 64
_ID = 36
_LAST_PORT = (1 << 16) - 1
#: OVN's keys of networks have 24 bits.
_LAST_DATAPATH_KEY = (1 << 24) - 1
#: OVN's rates have 32 bits, marks of packets 6.
_LAST_RATE = (1 << 32) - 1
_LAST_DSCP = (1 << 6) - 1
_VERSIONS = ("4", "6")

_T = TypeVar("_T")
_E = TypeVar("_E", bound=enum.StrEnum)


def to_form(plan: SitePlan) -> dict[str, Any]:
    """Return the JSON form of a plan; equal plans have equal forms.

    What older peers do not know is left out where there is none of it: then both forms are equal.
    """
    forwarded = [_plain(one) for one in plan.forwarded]
    limits = [_plain(one) for one in plan.limits]
    return {
        "exits": {str(version): _exit_form(plan.exits[version]) for version in sorted(plan.exits)},
        "gateway_network_id": plan.gateway_network_id,
        "routes": [_plain(one) for one in plan.routes],
        "policies": [_plain(one) for one in plan.policies],
        "snats": [_plain(one) for one in plan.snats],
        "floating": [_plain(one) for one in plan.floating],
        "transit": None if plan.transit is None else _plain(plan.transit),
        **({"forwarded": forwarded} if forwarded else {}),
        **({"limits": limits} if limits else {}),
    }


def from_form(body: Any) -> SitePlan:
    """Read the JSON form of a plan; keys that it does not know are left alone, for newer peers.

    Raises:
        ProtocolError: a key is missing, or a value is none that could stand there.
    """
    try:
        exits = _mapping(body["exits"])
        plan = SitePlan(
            exits={
                int(_one_of(version, _VERSIONS)): _read_exit(found)
                for version, found in exits.items()
            },
            gateway_network_id=_maybe(body["gateway_network_id"], _id),
            routes=_each(body["routes"], _read_route),
            policies=_each(body["policies"], _read_policy),
            snats=_each(body["snats"], _read_snat),
            floating=_each(body["floating"], _read_floating),
            transit=_maybe(body["transit"], _read_transit),
            forwarded=_each(body.get("forwarded", []), _read_forwarded),
            limits=_each(body.get("limits", []), _read_floating_limit),
        )
        _require(sum(one.outside.size for one in plan.forwarded) <= MOST_FORWARDED, "forwarded")
        return plan
    except (KeyError, TypeError) as error:
        raise errors.ProtocolError(f"not the exits of a router: {error!r}") from error


def _exit_form(found: Exit | Lack) -> dict[str, Any]:
    return {"lack": found.value} if isinstance(found, Lack) else _plain(found)


def _plain(value: Any) -> Any:
    if isinstance(value, tuple):
        return [_plain(one) for one in value]
    if hasattr(value, "__dataclass_fields__"):
        return {name: _plain(getattr(value, name)) for name in value.__dataclass_fields__}
    if value is None or isinstance(value, bool | int):
        return value
    return str(value)


def _read_exit(body: Any) -> Exit | Lack:
    if "lack" in body:
        return _word(body["lack"], Lack)
    return Exit(
        way=_word(body["way"], Way),
        site=_site(body["site"]),
        network_id=_id(body["network_id"]),
        next_hop=_address(body["next_hop"]),
    )


def _read_route(body: Any) -> Route:
    destination, next_hop = _prefix(body["destination"]), _address(body["next_hop"])
    _require(destination.version == next_hop.version, body)
    return Route(
        purpose=_word(body["purpose"], Purpose),
        destination=destination,
        next_hop=next_hop,
        way=_word(body["way"], Way),
        site=_site(body["site"]),
    )


def _read_policy(body: Any) -> ReturnPolicy:
    return ReturnPolicy(
        floating_ip_id=_id(body["floating_ip_id"]),
        source=_ipv4(body["source"]),
        inside=_each(body["inside"], _ipv4_network),
        only=_each(body["only"], _ipv4_network),
        next_hop=_address(body["next_hop"]),
        site=_site(body["site"]),
    )


def _read_snat(body: Any) -> Snat:
    return Snat(
        network_id=_id(body["network_id"]),
        external=_ipv4(body["external"]),
        internal=_ipv4_network(body["internal"]),
    )


def _read_floating(body: Any) -> FloatingNat:
    return FloatingNat(
        floating_ip_id=_id(body["floating_ip_id"]),
        external=_ipv4(body["external"]),
        internal=_ipv4(body["internal"]),
        port_id=_id(body["port_id"]),
        at_home=_checked(body["at_home"], form.is_flag),
        mac=_maybe(body["mac"], _mac),
    )


def _read_forwarded(body: Any) -> Forwarded:
    outside, inside = _read_ports(body["outside"]), _read_ports(body["inside"])
    _require(inside.size in (1, outside.size), body)
    return Forwarded(
        forwarding_id=_id(body["forwarding_id"]),
        floating_ip_id=_id(body["floating_ip_id"]),
        protocol=_word(body["protocol"], Protocol),
        external=_ipv4(body["external"]),
        outside=outside,
        internal=_ipv4(body["internal"]),
        inside=inside,
        answers=_checked(body["answers"], form.is_flag),
        replies=_maybe(body["replies"], _read_policy),
    )


def _read_floating_limit(body: Any) -> FloatingLimit:
    port_id = body["port_id"]
    limits = _each(body["limits"], _read_limit, len(Direction))
    _require(len({one.direction for one in limits}) == len(limits), body)
    return FloatingLimit(
        floating_ip_id=_id(body["floating_ip_id"]),
        external=_ipv4(body["external"]),
        network_id=_id(body["network_id"]),
        gateway_port_id=_id(body["gateway_port_id"]),
        port_id="" if port_id == "" else _id(port_id),
        limits=limits,
    )


def _read_limit(body: Any) -> Limit:
    return Limit(
        direction=_word(body["direction"], Direction),
        max_kbps=_maybe(body["max_kbps"], lambda value: _key(value, _LAST_RATE)),
        burst_kbps=_maybe(body["burst_kbps"], lambda value: _key(value, _LAST_RATE)),
        dscp=_maybe(body["dscp"], lambda value: _number(value, _LAST_DSCP)),
    )


def _read_ports(body: Any) -> Ports:
    ports = Ports(_key(body["first"], _LAST_PORT), _key(body["last"], _LAST_PORT))
    _require(ports.first <= ports.last, body)
    return ports


def _read_transit(body: Any) -> TransitPort:
    prefixes = _each(body["prefixes"], _prefix)
    port = TransitPort(
        datapath_key=_key(body["datapath_key"], _LAST_DATAPATH_KEY),
        port_key=_key(body["port_key"], LAST_PORT_KEY),
        mac=_mac(body["mac"]),
        addresses=_each(body["addresses"], _address),
        prefixes=prefixes,
        peers=_each(body["peers"], _read_peer, _MOST_SITES),
    )
    within = zip(port.addresses, prefixes, strict=False)
    _require(len(port.addresses) == len(prefixes) and all(one in net for one, net in within), body)
    keys = [port.port_key, *(one.port_key for one in port.peers)]
    _require(len(set(keys)) == len(keys), body)
    _require(len({one.site for one in port.peers}) == len(port.peers), body)
    return port


def _read_peer(body: Any) -> TransitPeer:
    return TransitPeer(
        site=_site(body["site"]),
        port_key=_key(body["port_key"], LAST_PORT_KEY),
        mac=_mac(body["mac"]),
        addresses=_each(body["addresses"], _address, _MOST_SITES),
        hypervisor=_maybe(body["hypervisor"], _read_hypervisor),
    )


def _read_hypervisor(body: Any) -> Hypervisor:
    return Hypervisor(
        chassis=_checked(body["chassis"], form.is_name),
        hostname=_checked(body["hostname"], form.is_name),
        encap_ip=_checked(body["encap_ip"], form.is_tunnel_address),
    )


def _require(right: object, body: Any) -> None:
    if not right:
        raise errors.ProtocolError(f"not the exits of a router: {body!r}"[:400])


def _checked(value: Any, is_right: Callable[[Any], bool]) -> Any:
    _require(is_right(value), value)
    return value


def _mapping(value: Any) -> Mapping[Any, Any]:
    _require(isinstance(value, Mapping), value)
    found: Mapping[Any, Any] = value
    return found


def _each(values: Any, read: Callable[[Any], _T], most: int = MOST) -> tuple[_T, ...]:
    _require(isinstance(values, list) and len(values) <= most, values)
    return tuple(map(read, values))


def _maybe(value: Any, read: Callable[[Any], _T]) -> _T | None:
    return None if value is None else read(value)


def _word(value: Any, words: type[_E]) -> _E:
    return words(_one_of(value, [one.value for one in words]))


def _one_of(value: Any, known: Any) -> str:
    return str(_checked(value, lambda one: isinstance(one, str) and one in known))


def _site(value: Any) -> SiteName:
    return SiteName(_checked(value, lambda one: form.is_name(one, _SITE)))


def _id(value: Any) -> str:
    return str(_checked(value, lambda one: form.is_name(one, _ID)))


def _mac(value: Any) -> str:
    return str(_checked(value, form.is_mac)).lower()


def _key(value: Any, last: int) -> int:
    return int(_checked(value, lambda one: form.is_number(one) and 0 < one <= last))


def _number(value: Any, last: int) -> int:
    return int(_checked(value, lambda one: form.is_number(one) and 0 <= one <= last))


def _address(value: Any) -> Address:
    return ipaddress.ip_address(_checked(value, form.is_address))


def _prefix(value: Any) -> Prefix:
    _require(isinstance(value, str) and "%" not in value, value)
    try:
        return ipaddress.ip_network(value)
    except ValueError:
        raise errors.ProtocolError(f"not a network: {value!r}"[:400]) from None


def _ipv4(value: Any) -> IPv4Address:
    found = _address(value)
    _require(isinstance(found, IPv4Address), value)
    return IPv4Address(found)


def _ipv4_network(value: Any) -> IPv4Network:
    found = _prefix(value)
    _require(isinstance(found, IPv4Network), value)
    return IPv4Network(found)
