"""Central's IPAM driver: Neutron's own, but addresses are allocated from leases.

Central allocates from blocks of its own and leases another when they are full. An address that was
requested explicitly must not be in a site's block; one that a site reports must be in its own
block. No operation reads all addresses of the subnet.
"""

from typing import Any

import netaddr
import sqlalchemy as sa
from neutron.ipam import exceptions as ipam_exc
from neutron.ipam import requests as ipam_req
from neutron.ipam.drivers.neutrondb_ipam import driver as neutron_ipam
from oslo_config import cfg

from isthmus import errors
from isthmus.config.central import read_central
from isthmus.federation.leases import lease as arithmetic
from isthmus.model.lease import Block, PoolKind
from isthmus.model.resource import ResourceType
from isthmus.model.site import CENTRAL
from isthmus.neutron.api.faults import translated
from isthmus.neutron.central import reporting
from isthmus.neutron.central.leases import give_back, pool, spares
from isthmus.neutron.db.freed import RequestFactory
from isthmus.neutron.db.leased import pick_leased
from isthmus.neutron.db.session import writing
from isthmus.store.leases import lease as lease_store
from isthmus.store.leases import named, recall, resting, spare
from isthmus.store.leases import pool as pool_store
from isthmus.store.tiers import epoch, mapping


class CentralSubnet(neutron_ipam.NeutronDbSubnet):
    """One subnet."""

    def allocate(self, address_request: Any) -> Any:
        """Allocate one address.

        Raises:
            Fault: it was requested explicitly and belongs to a site (409).
        """
        by_name = isinstance(address_request, ipam_req.SpecificAddressRequest)
        derived = isinstance(address_request, ipam_req.AutomaticAddressRequest)
        if not by_name or derived:
            return super().allocate(address_request)
        address = int(address_request.address)
        with translated(), writing(self._context) as connection:
            locked = self._lease_named(connection, address)
            given = super().allocate(address_request)
            # Behind the insert, which waits for whoever is releasing the address right now.
            if locked is not None:
                port_id = getattr(address_request, "port_id", None)
                pool.end_rest(locked, address, port_id=port_id)
            return given

    def update_allocation_pools(self, pools: Any, cidr: Any) -> None:
        """Change the allocation pools unless that would cut into a site's block.

        Raises:
            Fault: a site holds addresses that would be outside (409).
        """
        blocks = [Block(int(one.first), int(one.last)) for one in pools]
        with translated(), writing(self._context) as connection:
            locked = pool.lock(connection, PoolKind.SUBNET, self._subnet_id)
            old = [Block(int(one.first), int(one.last)) for one in self._pools]
            if arithmetic.merge(old) != arithmetic.merge(blocks):
                give_back.reclaim_for_pools(locked, old, blocks)
        super().update_allocation_pools(pools, cidr)

    def _lease_named(self, connection: sa.Connection, address: int) -> pool.Locked | None:
        """Ensure that an address is allocated by its holder.

        Returns:
            The pool, if central is the holder.
        """
        if not pick_leased(connection, [self._subnet_id]):
            return None  # derived from the MAC, which Neutron has checked
        said = reporting.current()
        if said is None:
            epoch.require_recovered(connection)
            locked = pool.lock_only(connection, PoolKind.SUBNET, self._subnet_id)
            pool.check_unnamed(locked, address)
            pool.lease_address(locked, CENTRAL, address)
            spare.take_one(connection, self._subnet_id, address)
            return locked
        holder = lease_store.find_covering(
            connection, PoolKind.SUBNET, self._subnet_id, address, write=False
        )
        if holder is None or holder.site != said.site:
            if self._take_kept(connection, said, address):
                return None
            epoch.require_recovered(connection)  # otherwise its owner is not known yet
            raise errors.Conflict(
                f"site {said.site} reports address {pool.to_address(address)}, which is leased to "
                f"{holder.site if holder else 'nobody'}"
            )
        resting.delete(connection, self._subnet_id, [address])  # the site itself allocates it again
        return None

    def _take_kept(
        self, connection: sa.Connection, said: reporting.CurrentReport, address: int
    ) -> bool:
        """Return whether an address was kept for the port that a site reports."""
        kept = named.find_kept(connection, self._subnet_id, address)
        if kept is None or (kept.site, kept.port_id) != (said.site, said.port_id):
            return False
        named.drop(connection, kept)
        return True

    def _generate_ips(
        self, context: Any, prefer_next: bool = False, num_addresses: int = 1
    ) -> list[str]:
        more = read_central(cfg.CONF).central_lease
        with translated(), writing(context) as connection:
            epoch.require_recovered(connection)
            locked = pool.lock_only(connection, PoolKind.SUBNET, self._subnet_id)
            try:
                chosen = spares.take(locked, num_addresses, more)
            except errors.Exhausted as error:
                raise ipam_exc.IpAddressGenerationFailure(
                    subnet_id=self.subnet_manager.neutron_id
                ) from error
        version = netaddr.IPNetwork(self._cidr).version
        return [str(netaddr.IPAddress(number, version)) for number in chosen]


class CentralPool(neutron_ipam.NeutronDbPool):
    """All subnets of central."""

    def get_subnet(self, subnet_id: str) -> Any:
        """Load a subnet."""
        return CentralSubnet.load(subnet_id, self._context)

    def get_address_request_factory(self) -> Any:
        """Return Neutron's factory of address requests, extended by the port that asks."""
        return RequestFactory

    def update_subnet(self, subnet_request: Any) -> Any:
        """Apply new allocation pools.

        Raises:
            Fault: a site holds addresses that would be outside (409).
        """
        if subnet_request.allocation_pools is None:
            return None
        subnet = CentralSubnet.load(subnet_request.subnet_id, self._context)
        subnet.update_allocation_pools(
            subnet_request.allocation_pools, netaddr.IPNetwork(subnet._cidr)
        )
        return subnet

    def remove_subnet(self, subnet_id: str) -> None:
        """Delete a subnet; sites keep their blocks until they have deleted it too."""
        super().remove_subnet(subnet_id)
        with writing(self._context) as connection:
            held = mapping.list_sites(connection, ResourceType.SUBNET, [subnet_id]).get(
                subnet_id, {}
            )
            lease_store.delete_unheld(connection, PoolKind.SUBNET, subnet_id, set(held))
            spare.delete_all(connection, subnet_id)
            resting.delete_pool(connection, subnet_id)
            named.delete_pool(connection, subnet_id)
            recall.delete_pool(connection, subnet_id)
            pool_store.delete(connection, PoolKind.SUBNET, subnet_id)
