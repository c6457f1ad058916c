"""Shadow ports: which a site takes. Pure.

Taking a shadow is decided before anything is written, item by item, so that one that cannot be is
refused with its reason and spoils no batch.
"""

import dataclasses
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from isthmus import errors
from isthmus.model.dataplane.ovn import (
    LAST_PORT_KEY,
    Capability,
    LocalChassis,
)
from isthmus.model.dataplane.shadow import Shadow


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """What the taking of one shadow depends on."""

    stretched: bool  #: the network is here and has a datapath key
    own_port: bool  #: the port lives at this very site
    own_key_holder: str | None  #: port of this site that has the key on this network
    shadow_key_holder: str | None  #: other shadow that has the key on this network
    others_on_network: int  #: shadows of the network, this one not counted
    capability: Capability
    local_chassis: Mapping[str, LocalChassis]


def check_shadow(shadow: Shadow, here: Surroundings) -> None:
    """Tell whether a site can take a shadow.

    Raises:
        Stale: something else has to arrive or to go first; the same shadow is taken later.
        Exhausted: the network has as many shadows as this OVN can hold.
        Conflict: the port, its key, its hypervisor's name or tunnel address is this site's own.
        Invalid: the key is none.
    """
    where = f"shadow port {shadow.port_id} of site {shadow.site}"
    if not here.stretched:
        raise errors.Stale(f"{where}: network {shadow.network_id} is not here")
    if here.own_port:
        raise errors.Conflict(f"{where}: the port lives here")
    if not 1 <= shadow.port_key <= LAST_PORT_KEY:
        raise errors.Invalid(f"{where}: {shadow.port_key} is not a port key (1 to {LAST_PORT_KEY})")
    if here.own_key_holder is not None:
        raise errors.Conflict(
            f"{where}: its key {shadow.port_key} belongs to port {here.own_key_holder} of this site"
        )
    if here.shadow_key_holder is not None:
        raise errors.Stale(
            f"{where}: its key {shadow.port_key} is still that of shadow {here.shadow_key_holder}"
        )
    limit = here.capability.shadow_limit
    if limit is not None and here.others_on_network >= limit:
        raise errors.Exhausted(
            f"{where}: network {shadow.network_id} has {here.others_on_network} shadow ports, and "
            f"OVN {here.capability.version or '(version unknown)'} holds at most {limit}: upgrade "
            "OVN here to 24.03 or newer, or take the network out of a site",
            limit=limit,
        )
    _check_chassis(shadow, where, here.local_chassis)


def _check_chassis(shadow: Shadow, where: str, local: Mapping[str, LocalChassis]) -> None:
    if shadow.chassis in local:
        raise errors.Conflict(
            f"{where}: its hypervisor is called {shadow.chassis!r}, as one of this site is: give "
            "one of them another system-id"
        )
    for chassis in local.values():
        if shadow.encap_ip in chassis.encap_ips:
            raise errors.Conflict(
                f"{where}: its tunnel address {shadow.encap_ip} is that of {chassis.name} here: "
                "tunnel networks of sites must not overlap"
            )


def check_hypervisor(shadow: Shadow, known: Iterable[Shadow]) -> None:
    """Tell whether a shadow's hypervisor can be told from those of other sites.

    Args:
        shadow: the port of the other site.
        known: one shadow of each hypervisor there is.

    Raises:
        Conflict: another site has a hypervisor of the same name or tunnel address.
    """
    for other in known:
        if other.site == shadow.site:
            continue
        if other.chassis == shadow.chassis or other.encap_ip == shadow.encap_ip:
            raise errors.Conflict(
                f"shadow port {shadow.port_id} of site {shadow.site}: its hypervisor "
                f"{shadow.chassis} ({shadow.encap_ip}) has the name or the tunnel address of "
                f"{other.chassis} ({other.encap_ip}) of site {other.site}"
            )


def find_outdated(shadow: Shadow, known: Iterable[Shadow]) -> list[str]:
    """Return the hypervisors, by the names they are known by, that a shadow says have changed.

    A hypervisor may get another tunnel address, or be set up again under another name; its ports
    are reported one after the other, and the first one says it of all.
    """
    return sorted(
        {
            other.chassis
            for other in known
            if other.site == shadow.site
            and (other.chassis == shadow.chassis) != (other.encap_ip == shadow.encap_ip)
        }
    )


def follow(shadow: Shadow, outdated: Shadow) -> Shadow:
    """Return a shadow on the same hypervisor, with what is now known of it."""
    return dataclasses.replace(
        outdated,
        chassis=shadow.chassis,
        hostname=shadow.hostname,
        encap_ip=shadow.encap_ip,
    )
