"""The transit network of a router: addresses and MACs that are derived from OVN's keys.

A site's port on the network has a key that no other site's port has (OVN's, of 15 bits), and the
network a key that no other network has (24 bits). The address is the range's first one plus the
port key; the MAC has both keys in it. So nobody keeps a list, and two sites cannot differ.
"""

from collections.abc import Mapping
from ipaddress import IPv4Network, IPv6Network

from isthmus.model.exits.plan import TransitPeer, TransitPort
from isthmus.model.exits.request import Address, Prefix, Transit
from isthmus.model.site import SiteName

#: What transit networks of all routers use unless the operator says otherwise: of the range that is
#: set aside between providers and customers (RFC 6598), and a unique local one (RFC 4193).
DEFAULT_RANGES: tuple[Prefix, ...] = (
    IPv4Network("100.64.0.0/17"),
    IPv6Network("fd69:7374:686d:7573::/64"),
)
#: Where default routes lead to, by IP version.
EVERYTHING: Mapping[int, Prefix] = {4: IPv4Network("0.0.0.0/0"), 6: IPv6Network("::/0")}
#: The first octet of a derived MAC: locally administered, and none that Neutron's `base_mac` or
#: QEMU uses (IEEE 802, bit 2 of the first octet).
_MAC_PREFIX = 0x0A
_DATAPATH_BITS = 24
_PORT_BITS = 15


def fits(prefix: Prefix, port_key: int) -> bool:
    """Tell whether a range has an address for a port key; the last one of IPv4 is the broadcast."""
    last = prefix.num_addresses - (2 if prefix.version == 4 else 1)
    return 0 < port_key <= last


def find_address(transit: Transit | None, site: SiteName, version: int) -> Address | None:
    """Return a site's address on the transit network; None where none is allocated."""
    if transit is None or site not in transit.port_keys:
        return None
    key = transit.port_keys[site]
    for prefix in transit.ranges:
        if prefix.version == version and fits(prefix, key):
            return prefix[key]
    return None


def make_mac(datapath_key: int, port_key: int) -> str:
    """Return the MAC of a site's port on a transit network."""
    assert 0 < datapath_key < 1 << _DATAPATH_BITS, datapath_key
    assert 0 < port_key < 1 << _PORT_BITS, port_key
    octets = [_MAC_PREFIX, *datapath_key.to_bytes(3, "big"), *port_key.to_bytes(2, "big")]
    return ":".join(f"{octet:02x}" for octet in octets)


def make_port(transit: Transit, site: SiteName) -> TransitPort:
    """Return a site's port on the transit network, with those of the others; it must have a key."""
    key = transit.port_keys[site]
    return TransitPort(
        datapath_key=transit.datapath_key,
        port_key=key,
        mac=make_mac(transit.datapath_key, key),
        addresses=tuple(prefix[key] for prefix in _list_ranges(transit, key)),
        prefixes=tuple(_list_ranges(transit, key)),
        peers=tuple(
            _make_peer(transit, other, other_key)
            for other, other_key in sorted(transit.port_keys.items())
            if other != site
        ),
    )


def _make_peer(transit: Transit, site: SiteName, key: int) -> TransitPeer:
    return TransitPeer(
        site=site,
        port_key=key,
        mac=make_mac(transit.datapath_key, key),
        addresses=tuple(prefix[key] for prefix in _list_ranges(transit, key)),
        hypervisor=transit.arrives_at.get(site),
    )


def _list_ranges(transit: Transit, key: int) -> list[Prefix]:
    return sorted((one for one in transit.ranges if fits(one, key)), key=lambda one: one.version)
