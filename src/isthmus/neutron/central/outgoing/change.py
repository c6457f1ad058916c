"""What a transaction changes, as far as sites care: read off SQLAlchemy's unit of work.

A literal table says what a change of each kind of row means; which rows there are, and why others
are of no concern to any site, is in `isthmus.neutron.db.carried`.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import sqlalchemy as sa
from neutron.db import models_v2, rbac_db_models
from neutron.db.extra_dhcp_opt import models as dhcp_models
from neutron.db.models import (
    address_group,
    allowed_address_pair,
    dns,
    external_net,
    securitygroup,
    segment,
    subnet_service_type,
    tag,
    uplink_status_propagation,
)
from neutron.db.port_security import models as port_security
from neutron_lib.db import standard_attr

#: Attributes of a port that its home site owns: their change at central is no news to it.
_HOME_OWNED = frozenset(
    {
        "status",
        "device_id",
        "device_owner",
        "port_bindings",
        "binding_levels",
        "distributed_port_binding",
        "standard_attr",
        "standard_attr_id",
    }
)


#: Attributes of a port's own row that other sites have to be told of.
_SHADOWED = frozenset({"mac_address", "admin_state_up", "device_owner"})


@dataclass(slots=True)
class Changes:
    """Ids of what one transaction touched."""

    networks: set[str] = field(default_factory=set)
    subnets: dict[str, str] = field(default_factory=dict)  #: id to network
    gone_subnets: set[str] = field(default_factory=set)
    ports: set[str] = field(default_factory=set)  #: the home site wants to know
    shadowed: set[str] = field(default_factory=set)  #: what a shadow shows has changed
    regrouped: set[str] = field(default_factory=set)  #: ports whose security groups changed
    new_ports: set[str] = field(default_factory=set)
    gone_ports: set[str] = field(default_factory=set)
    security_groups: set[str] = field(default_factory=set)
    address_groups: set[str] = field(default_factory=set)
    described: set[tuple[str, int]] = field(default_factory=set)  #: (table, standard attribute)
    tagged: set[int] = field(default_factory=set)  #: standard attributes

    def __bool__(self) -> bool:
        return any(getattr(self, name) for name in self.__slots__)


@dataclass(frozen=True, slots=True)
class Row:
    """One row in the unit of work."""

    entity: Any
    deleted: bool = False
    new: bool = False

    def changed(self) -> set[str]:
        """Name the attributes that changed."""
        state = sa.inspect(self.entity)
        return {one.key for one in state.attrs if one.history.has_changes()}


def _network(changes: Changes, row: Row) -> None:
    changes.networks.add(row.entity.id)


def _subnet(changes: Changes, row: Row) -> None:
    if row.deleted:
        changes.gone_subnets.add(row.entity.id)
    changes.subnets[row.entity.id] = row.entity.network_id


def _port(changes: Changes, row: Row) -> None:
    port = row.entity
    if row.deleted:
        changes.gone_ports.add(port.id)
        return
    if row.new:
        changes.new_ports.add(port.id)
    changed = row.changed()
    if changed - _HOME_OWNED:
        changes.ports.add(port.id)
    if changed & _SHADOWED:
        changes.shadowed.add(port.id)


# A part that was made together with its whole may not know it yet: then the whole is new as well,
# and is seen by itself.


def _part_of_port(changes: Changes, row: Row) -> None:
    if row.entity.port_id:
        changes.ports.add(row.entity.port_id)


def _shadowed_part(changes: Changes, row: Row) -> None:
    _part_of_port(changes, row)
    if row.entity.port_id:
        changes.shadowed.add(row.entity.port_id)


def _group_of_port(changes: Changes, row: Row) -> None:
    _shadowed_part(changes, row)
    if row.entity.port_id:
        changes.regrouped.add(row.entity.port_id)


def _part_of_network(changes: Changes, row: Row) -> None:
    if row.entity.network_id:
        changes.networks.add(row.entity.network_id)


def _part_of_subnet(changes: Changes, row: Row) -> None:
    if row.entity.subnet_id:
        changes.subnets.setdefault(row.entity.subnet_id, "")


def _security_group(changes: Changes, row: Row) -> None:
    changes.security_groups.add(row.entity.id)


def _rule(changes: Changes, row: Row) -> None:
    if row.entity.security_group_id:
        changes.security_groups.add(row.entity.security_group_id)


def _address_group(changes: Changes, row: Row) -> None:
    changes.address_groups.add(row.entity.id)


def _address(changes: Changes, row: Row) -> None:
    if row.entity.address_group_id:
        changes.address_groups.add(row.entity.address_group_id)


def _shared_network(changes: Changes, row: Row) -> None:
    if row.entity.object_id:
        changes.networks.add(row.entity.object_id)


def _shared_security_group(changes: Changes, row: Row) -> None:
    if row.entity.object_id:
        changes.security_groups.add(row.entity.object_id)


def _shared_address_group(changes: Changes, row: Row) -> None:
    if row.entity.object_id:
        changes.address_groups.add(row.entity.object_id)


def _tag(changes: Changes, row: Row) -> None:
    if row.entity.standard_attr_id is not None:
        changes.tagged.add(row.entity.standard_attr_id)


def _description(changes: Changes, row: Row) -> None:
    if not row.deleted and row.entity.id is not None and "description" in row.changed():
        changes.described.add((row.entity.resource_type, row.entity.id))


_HANDLERS: dict[type, Callable[[Changes, Row], None]] = {
    models_v2.Network: _network,
    port_security.NetworkSecurityBinding: _part_of_network,
    segment.NetworkSegment: _part_of_network,
    external_net.ExternalNetwork: _part_of_network,
    dns.NetworkDNSDomain: _part_of_network,
    rbac_db_models.NetworkRBAC: _shared_network,
    models_v2.Subnet: _subnet,
    models_v2.DNSNameServer: _part_of_subnet,
    models_v2.SubnetRoute: _part_of_subnet,
    models_v2.IPAllocationPool: _part_of_subnet,
    subnet_service_type.SubnetServiceType: _part_of_subnet,
    dns.SubnetDNSPublishFixedIP: _part_of_subnet,
    models_v2.Port: _port,
    models_v2.IPAllocation: _shadowed_part,
    allowed_address_pair.AllowedAddressPair: _shadowed_part,
    port_security.PortSecurityBinding: _shadowed_part,
    securitygroup.SecurityGroupPortBinding: _group_of_port,
    dhcp_models.ExtraDhcpOpt: _part_of_port,
    dns.PortDNS: _part_of_port,
    uplink_status_propagation.PortUplinkStatusPropagation: _part_of_port,
    securitygroup.SecurityGroup: _security_group,
    securitygroup.SecurityGroupRule: _rule,
    rbac_db_models.SecurityGroupRBAC: _shared_security_group,
    address_group.AddressGroup: _address_group,
    address_group.AddressAssociation: _address,
    rbac_db_models.AddressGroupRBAC: _shared_address_group,
    standard_attr.StandardAttribute: _description,
    tag.Tag: _tag,
}


def note(changes: Changes, session: Any) -> None:
    """Add what a flush is about to write."""
    for row in _rows(session):
        handler = _HANDLERS.get(type(row.entity))
        if handler is not None:
            handler(changes, row)


def _rows(session: Any) -> Iterator[Row]:
    for entity in session.new:
        yield Row(entity, new=True)
    for entity in session.dirty:
        if session.is_modified(entity):
            yield Row(entity)
    for entity in session.deleted:
        yield Row(entity, deleted=True)
