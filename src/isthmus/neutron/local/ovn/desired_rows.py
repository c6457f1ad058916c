"""What the data plane of this site should hold, read from its database."""

import contextlib
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence

import sqlalchemy as sa
from neutron.common.ovn import utils as ovn_utils
from neutron.conf.plugins.ml2.drivers.ovn import ovn_conf
from neutron.db import models_v2
from neutron.db.models import segment
from neutron_lib import constants
from neutron_lib import context as n_context

from isthmus.dataplane.protocols import Trust
from isthmus.model.dataplane.ovn import RaSubnet
from isthmus.model.dataplane.shadow import Shadow
from isthmus.model.exits.plan import SitePlan
from isthmus.model.exits.request import Hypervisor
from isthmus.model.site import SiteName
from isthmus.neutron.db.session import reading, writing
from isthmus.neutron.local.lease import port_keys, sight
from isthmus.store.local import exit_plan
from isthmus.store.ports import datapath, port_key, shadow
from isthmus.store.tiers import epoch

_PORTS = models_v2.Port.__table__
_SUBNETS = models_v2.Subnet.__table__
_NETWORKS = models_v2.Network.__table__
_ALLOCATIONS = models_v2.IPAllocation.__table__


class SqlSource:
    """What the site's tables say, within one transaction; `isthmus.dataplane` defines each row."""

    def __init__(self, connection: sa.Connection) -> None:
        """Read through a connection; repeated questions are answered from memory."""
        self._connection = connection
        self._networks: dict[str, int] | None = None
        self._on_fabrics: set[str] | None = None
        self._shadows: list[Shadow] | None = None
        self._keys: dict[str, tuple[str, int]] | None = None
        self._exits: Mapping[str, SitePlan] | None = None

    def trust(self) -> Trust:
        """Return what they count for: a restored site recovers, and hears of other sites' ports."""
        own = epoch.peek(self._connection)
        if own is not None and not own.recovered:
            return Trust.NONE
        return Trust.ALL if own is None or own.behind is epoch.Behind.NOT else Trust.OWN

    def life(self) -> str:
        """Return the life of the site's epoch; "" where there is none yet."""
        own = epoch.peek(self._connection)
        return "" if own is None else own.life

    def networks(self) -> Mapping[str, int]:
        """List the datapath keys of the networks stretched to this site."""
        if self._networks is None:
            self._networks = list_networks(self._connection)
        return self._networks

    def networks_on_fabrics(self) -> Collection[str]:
        """List the stretched networks that are on a fabric of the site, not in tunnels."""
        if self._on_fabrics is None:
            self._on_fabrics = list_on_fabrics(self._connection)
        return self._on_fabrics

    def shadows(self, port_ids: Collection[str] | None) -> list[Shadow]:
        """List the shadows of ports; with None, all on stretched networks."""
        if port_ids is not None:
            return list(shadow.get_shadows(self._connection, port_ids).values())
        if self._shadows is None:
            self._shadows = self.shadows_on(self.networks().keys())
        return self._shadows

    def shadows_on(self, network_ids: Collection[str]) -> list[Shadow]:
        """List the shadows on certain networks."""
        return shadow.list_shadows(self._connection, network_ids=list(network_ids))

    def list_members(self, groups: Collection[str]) -> list[str]:
        """List the ports whose shadows belong in port groups."""
        return shadow.list_ids_of_groups(self._connection, [group_id(one) for one in groups])

    def one_shadow_per_chassis(self, names: Collection[str] | None) -> list[Shadow]:
        """List one shadow for each hypervisor; with None, of every hypervisor."""
        return shadow.list_one_per_chassis(self._connection, None if names is None else list(names))

    def exits(self, router_ids: Collection[str] | None) -> Mapping[str, SitePlan]:
        """List what is decided of routers' exits, by router; with None, of all."""
        if router_ids is None:
            if self._exits is None:
                self._exits = exit_plan.list_plans(self._connection)
            return self._exits
        return exit_plan.list_plans(self._connection, router_ids)

    def exit_hypervisors(
        self, names: Collection[str] | None
    ) -> Sequence[tuple[SiteName, Hypervisor]]:
        """List the hypervisors of other sites that have gateways, as far as is said; None: all."""
        return exit_plan.list_hypervisors(self._connection, names)

    def translates_at_ports(self) -> bool:
        """Tell whether a floating IP is translated on its port's own hypervisor."""
        return bool(ovn_conf.is_ovn_distributed_floating_ip())

    def port_keys(self) -> Mapping[str, tuple[str, int]]:
        """List network and port key of the site's own ports on stretched networks."""
        if self._keys is None:
            self._keys = port_key.list_keys(self._connection)
        return self._keys

    def find_port_key(self, port_id: str) -> int | None:
        """Return the port key of one of the site's own ports, or None."""
        if self._keys is not None:
            return self._keys[port_id][1] if port_id in self._keys else None
        return port_key.find_key(self._connection, port_id)

    def ra_subnets(self, network_ids: Collection[str]) -> list[RaSubnet]:
        """List the IPv6 subnets of networks whose addresses need router advertisements."""
        return list_ra_subnets(self._connection, network_ids)

    def list_keyless_ports(self) -> list[tuple[str, str]]:
        """List (network, port) of the site's ports on stretched networks that have no key yet."""
        return list_keyless_ports(self._connection)

    def name_group(self, security_group_id: str) -> str:
        """Return the name of a security group's port group."""
        return group_name(security_group_id)


class NeutronTables:
    """The tables of this site's Neutron, including ours."""

    @contextlib.contextmanager
    def reading(self) -> Iterator[SqlSource]:
        """Open a transaction that only reads."""
        with reading(n_context.get_admin_context()) as connection:
            yield SqlSource(connection)

    def allocate_key(self, network_id: str, port_id: str) -> bool:
        """Allocate a key to a port; return whether the keys of its network run low.

        Raises:
            Exhausted: there is none.
            Busy: the site was restored and has not recovered yet, or nobody knows.
        """
        with writing(n_context.get_admin_context()) as connection:
            allocation = port_keys.allocate(connection, network_id, port_id)
            if allocation is not None:
                sight.require_sight()
        return allocation is not None and allocation.low

    def free_keys(self, port_ids: Collection[str]) -> None:
        """Release the keys of deleted ports."""
        with writing(n_context.get_admin_context()) as connection:
            port_key.free(connection, list(port_ids))


def list_networks(connection: sa.Connection) -> dict[str, int]:
    """List the datapath keys of the networks stretched to this site."""
    return datapath.list_all_keys(connection)


def list_on_fabrics(connection: sa.Connection) -> set[str]:
    """List the stretched networks that are on a fabric of this site."""
    rows = segment.NetworkSegment.__table__
    query = sa.select(rows.c.network_id).where(
        rows.c.network_id.in_(datapath.select_networks()), rows.c.physical_network.is_not(None)
    )
    return set(connection.scalars(query))


def list_ra_subnets(connection: sa.Connection, network_ids: Iterable[str]) -> list[RaSubnet]:
    """List the IPv6 subnets of networks whose addresses need router advertisements."""
    ids = list(network_ids)
    subnets = connection.execute(
        sa.select(
            _SUBNETS.c.id,
            _SUBNETS.c.network_id,
            _SUBNETS.c.cidr,
            _SUBNETS.c.ipv6_ra_mode,
            _NETWORKS.c.mtu,
        )
        .join_from(_SUBNETS, _NETWORKS, _SUBNETS.c.network_id == _NETWORKS.c.id)
        .where(
            _SUBNETS.c.network_id.in_(ids),
            _SUBNETS.c.ip_version == constants.IP_VERSION_6,
            _SUBNETS.c.ipv6_ra_mode.is_not(None),
        )
    ).all()
    routed = set(
        connection.execute(
            sa.select(_ALLOCATIONS.c.subnet_id)
            .join_from(_ALLOCATIONS, _PORTS, _ALLOCATIONS.c.port_id == _PORTS.c.id)
            .where(
                _ALLOCATIONS.c.network_id.in_(ids),
                _PORTS.c.device_owner.in_(constants.ROUTER_INTERFACE_OWNERS),
            )
        ).scalars()
    )
    return [
        RaSubnet(
            network_id=row.network_id,
            cidr=row.cidr,
            ra_mode=row.ipv6_ra_mode,
            mtu=row.mtu,
            routed=row.id in routed,
        )
        for row in subnets
    ]


def list_keyless_ports(connection: sa.Connection) -> list[tuple[str, str]]:
    """List (network, port) of this site's ports on stretched networks that have no key yet."""
    query = sa.select(_PORTS.c.network_id, _PORTS.c.id).where(
        _PORTS.c.network_id.in_(datapath.select_networks()),
        _PORTS.c.device_owner != constants.DEVICE_OWNER_FLOATINGIP,
        _PORTS.c.id.not_in(port_key.select_holders()),
    )
    return [(network_id, port_id) for network_id, port_id in connection.execute(query)]


def group_name(security_group_id: str) -> str:
    """Return the name that Neutron gives a security group's port group."""
    return str(ovn_utils.ovn_port_group_name(security_group_id))


def group_id(name: str) -> str:
    """Return the security group of a port group; for any other group, a string that is no id."""
    return name.removeprefix("pg_").replace("_", "-")
