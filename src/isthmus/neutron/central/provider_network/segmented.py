"""Networks that have another segment at each site, and subnets on segments.

Each segment is on a physical network that sites name as a fabric (`isthmus site update --fabric`),
and a site that names one of them has the network as that segment and no other: to the site it is a
provider network as any. Where subnets are on segments (a routed provider network), the site has
those of its own segment alone, so its ports have addresses of them and of no other.
"""

from collections.abc import Collection, Mapping
from typing import Any

import sqlalchemy as sa
from neutron.common import ipv6_utils
from neutron.db import ipam_pluggable_backend, models_v2
from neutron.db.models import segment
from neutron.objects import subnet as subnet_obj
from neutron.plugins.ml2 import models as ml2_models
from neutron_lib import constants
from neutron_lib.api.definitions import ip_allocation as ipalloc_apidef

from isthmus import errors
from isthmus.model.site import SiteName
from isthmus.neutron.api.faults import translated
from isthmus.neutron.central import reporting
from isthmus.neutron.db.session import reading
from isthmus.store.tiers import site as site_store

#: Types of networks on the fabric of a site.
TYPES = frozenset({constants.TYPE_FLAT, constants.TYPE_VLAN})
SEGMENTS = "segments"
TYPE = "provider:network_type"
PHYSICAL = "provider:physical_network"
ID = "provider:segmentation_id"
_ROWS = segment.NetworkSegment.__table__
_SUBNETS = models_v2.Subnet.__table__
_PORTS = models_v2.Port.__table__
_BINDINGS = ml2_models.PortBinding.__table__
_ALLOCATIONS = models_v2.IPAllocation.__table__


def list_segments(network: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Return the segments of a network, or of a body that creates one; [] where it has one."""
    found = network.get(SEGMENTS)
    return list(found) if isinstance(found, list) and len(found) > 1 else []


def carry_own(connection: sa.Connection, states: dict[str, dict[str, Any]], site: SiteName) -> None:
    """Give networks of several segments that of a site as their own.

    Args:
        connection: of a transaction.
        states: networks as Neutron shows them, by id; one without a segment there is left out.
        site: the site.
    """
    several = {one: list_segments(state) for one, state in states.items() if list_segments(state)}
    if not several:
        return
    known = _list_fabrics(connection, site)
    for network_id, segments in several.items():
        own = [one for one in segments if one[PHYSICAL] in known]
        if len(own) == 1:
            states[network_id] |= {name: own[0].get(name) for name in (TYPE, PHYSICAL, ID)}
        else:
            del states[network_id]


def leave_out_elsewhere(
    connection: sa.Connection, states: dict[str, dict[str, Any]], site: SiteName
) -> None:
    """Leave out subnets on segments that a site does not have.

    Args:
        connection: of a transaction.
        states: subnets as Neutron shows them, by id.
        site: the site.
    """
    on_segments = [one for one, state in states.items() if state.get("segment_id")]
    for subnet_id in find_elsewhere(connection, site, on_segments):
        del states[subnet_id]


def find_elsewhere(
    connection: sa.Connection, site: SiteName, subnet_ids: Collection[str]
) -> set[str]:
    """Return which of some subnets are on a segment that a site does not have.

    That of a network of one segment is at all sites of the network.
    """
    if not subnet_ids:
        return set()
    others = _ROWS.alias()
    query = (
        sa.select(_SUBNETS.c.id, _ROWS.c.physical_network)
        .join_from(_SUBNETS, _ROWS, _SUBNETS.c.segment_id == _ROWS.c.id)
        .where(
            _SUBNETS.c.id.in_(sorted(subnet_ids)),
            sa.exists().where(others.c.network_id == _ROWS.c.network_id, others.c.id != _ROWS.c.id),
        )
    )
    rows = connection.execute(query).all()
    known = _list_fabrics(connection, site) if rows else ()
    return {row.id for row in rows if row.physical_network not in known}


def require_reached(connection: sa.Connection, site: SiteName, port_id: str) -> None:
    """Refuse a site a port that has addresses of a segment which the site does not have.

    Raises:
        Conflict: it has.
    """
    query = sa.select(_ALLOCATIONS.c.subnet_id, _ALLOCATIONS.c.ip_address)
    rows = connection.execute(query.where(_ALLOCATIONS.c.port_id == port_id)).all()
    elsewhere = find_elsewhere(connection, site, [row.subnet_id for row in rows])
    for row in rows:
        if row.subnet_id in elsewhere:
            raise errors.Conflict(
                f"port {port_id} has address {row.ip_address} of subnet {row.subnet_id}, which is "
                f"on a segment that site {site} does not have",
                site=site,
            )


def check_subnet(connection: sa.Connection, subnet: Mapping[str, Any], *, is_new: bool) -> None:
    """Refuse a subnet on a segment that no site would realise, or that ports would have to join.

    Args:
        connection: of the transaction.
        subnet: as Neutron shows it.
        is_new: whether it is just made, and not put on a segment later.

    Raises:
        Fault: its network is tunnelled, or external (400); or ports of the segment's sites would
            get addresses of it (409).
    """
    if not subnet.get("segment_id"):
        return
    kinds = set(
        connection.scalars(
            sa.select(_ROWS.c.network_type).where(_ROWS.c.network_id == subnet["network_id"])
        )
    )
    with translated():
        if not kinds <= TYPES:
            raise errors.Invalid(
                "segment_id cannot be set at central: a tunnelled network is one segment, at every "
                "site; subnets can be on segments of flat and VLAN networks"
            )
        if subnet.get("router:external"):
            raise errors.Invalid(
                "segment_id cannot be set at central: the gateway of a router has one seat, and "
                f"network {subnet['network_id']} is external. Make an external network for each "
                "site"
            )
        if is_new and ipv6_utils.is_auto_address_subnet(subnet):
            _require_no_bound(connection, subnet)


def _require_no_bound(connection: sa.Connection, subnet: Mapping[str, Any]) -> None:
    """Refuse addresses that follow from the MAC to ports that are at the segment's sites already.

    Neutron gives them to ports of hosts that its table has on the segment, and central's has none.

    Raises:
        Conflict: there are such ports.
    """
    query = (
        sa.select(_BINDINGS.c.host)
        .join_from(_BINDINGS, _PORTS, _BINDINGS.c.port_id == _PORTS.c.id)
        .where(_PORTS.c.network_id == subnet["network_id"], _BINDINGS.c.host != "")
    )
    sites = {host.partition("/")[0] for host in connection.scalars(query.distinct())}
    for site in sorted(sites):
        if not find_elsewhere(connection, SiteName(site), [subnet["id"]]):
            raise errors.Conflict(
                f"network {subnet['network_id']} has ports at site {site}, and they would get "
                "addresses of the new subnet by their MACs: make such a subnet on a segment before "
                "the ports"
            )


class SegmentedIpam(ipam_pluggable_backend.IpamPluggableBackend):
    """Which subnets a port may have addresses of, at central: its site decides, not its host.

    Neutron asks which segments a host reaches, which only a site's own Neutron knows. To central a
    host is `<site>/<host>`, and reaches what the site has.
    """

    def _ipam_get_subnets(
        self,
        context: Any,
        network_id: str,
        host: Any,
        service_type: Any = None,
        fixed_configured: bool = False,
        fixed_ips: Any = None,
        distributed_service: bool = False,
    ) -> Any:
        if not subnet_obj.Subnet.is_host_set(host):
            return super()._ipam_get_subnets(
                context, network_id, host, service_type, fixed_configured, fixed_ips,
                distributed_service,
            )  # fmt: skip
        # All of them, whatever their segments: central has no table of hosts and segments.
        every = super()._ipam_get_subnets(
            context, network_id, None, service_type, True, [], distributed_service=True
        )
        on_segments = [one["id"] for one in every if one.get("segment_id")]
        if not on_segments:
            return every
        site = SiteName(str(host).partition("/")[0])
        with reading(context) as connection:
            elsewhere = find_elsewhere(connection, site, on_segments)
        return [one for one in every if one["id"] not in elsewhere]

    def update_port(self, context: Any, old_port_db: Any, old_port: Any, new_port: Any) -> Any:
        """Leave it to the site that has bound a port which addresses it has; it tells of them.

        Args:
            context: of the transaction.
            old_port_db: the port's row.
            old_port: the port as it is.
            new_port: what is set of it; it is changed.
        """
        if (
            reporting.merged() is not None
            and old_port.get("ip_allocation") == ipalloc_apidef.IP_ALLOCATION_DEFERRED
        ):
            kept = [
                {"subnet_id": one["subnet_id"], "ip_address": one["ip_address"]}
                for one in old_port.get("fixed_ips") or ()
            ]
            new_port.setdefault("fixed_ips", kept)
        return super().update_port(context, old_port_db, old_port, new_port)


def has_segmented_subnets(connection: sa.Connection, network_id: str) -> bool:
    """Return whether a network has subnets on segments."""
    query = sa.select(_SUBNETS.c.id).where(
        _SUBNETS.c.network_id == network_id, _SUBNETS.c.segment_id.is_not(None)
    )
    return connection.execute(query.limit(1)).first() is not None


def _list_fabrics(connection: sa.Connection, name: SiteName) -> Collection[str]:
    site = site_store.find_by_name(connection, name)
    return () if site is None else site.fabrics
