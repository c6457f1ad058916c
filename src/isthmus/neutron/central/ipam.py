"""Central's IPAM driver: Neutron's own, except that addresses come out of leases.

Central gives out addresses of its own blocks and carves another when they are full. An address that
somebody asks for by name must not be in a site's block. What a site reports must be in its own.
"""

import random
from typing import Any

import netaddr
from neutron.ipam import exceptions as ipam_exc
from neutron.ipam import requests as ipam_req
from neutron.ipam.drivers.neutrondb_ipam import driver as neutron_ipam
from oslo_config import cfg

from isthmus import errors
from isthmus.config.central import read_central
from isthmus.federation import lease as arithmetic
from isthmus.model.intent import ResourceType
from isthmus.model.lease import Block, PoolKind
from isthmus.model.site import CENTRAL
from isthmus.neutron.api.faults import translated
from isthmus.neutron.central import origin, pool
from isthmus.neutron.db.session import writing
from isthmus.store import lease as lease_store
from isthmus.store import routing

#: Among how many of the next free addresses one is chosen, as Neutron does, so that two requests
#: at the same time seldom choose the same.
_WINDOW = 64


class CentralSubnet(neutron_ipam.NeutronDbSubnet):
    """One subnet."""

    def allocate(self, address_request: Any) -> Any:
        """Give out one address.

        Raises:
            Fault: it was asked for by name and belongs to a site (409).
        """
        by_name = isinstance(address_request, ipam_req.SpecificAddressRequest)
        derived = isinstance(address_request, ipam_req.AutomaticAddressRequest)
        if by_name and not derived:
            with translated():
                self._check_named(int(address_request.address))
        return super().allocate(address_request)

    def update_allocation_pools(self, pools: Any, cidr: Any) -> None:
        """Change the allocation pools unless a site's block would be cut.

        Raises:
            Fault: a site holds addresses that would be outside (409).
        """
        blocks = [Block(int(one.first), int(one.last)) for one in pools]
        with translated(), writing(self._context) as connection:
            locked = pool.lock(connection, PoolKind.SUBNET, self._subnet_id)
            old = [Block(int(one.first), int(one.last)) for one in self._pools]
            if arithmetic.merge(old) != arithmetic.merge(blocks):
                pool.check_pools(locked, old, blocks)
        super().update_allocation_pools(pools, cidr)

    def _check_named(self, address: int) -> None:
        said = origin.current()
        with writing(self._context) as connection:
            if not pool.subnet_needs_leases(connection, self._subnet_id):
                return  # made of the MAC, which Neutron has checked
            locked = pool.lock(connection, PoolKind.SUBNET, self._subnet_id)
            if said is None:
                pool.lease_address(locked, CENTRAL, address)
                return
            holder = pool.find_holder(locked, address)
        if holder is None or holder.site != said.site:
            raise errors.Conflict(
                f"site {said.site} reports address {pool.to_address(address)}, which is leased to "
                f"{holder.site if holder else 'nobody'}"
            )

    def _generate_ips(
        self, context: Any, prefer_next: bool = False, num_addresses: int = 1
    ) -> list[str]:
        config = read_central(cfg.CONF)
        with writing(context) as connection:
            locked = pool.lock(connection, PoolKind.SUBNET, self._subnet_id)
            held = [one.block for one in locked.held_by(CENTRAL)]
            free = _first_free(held, locked.used, max(num_addresses, _WINDOW))
            while len(free) < num_addresses:
                try:
                    missing = num_addresses - len(free)
                    made = pool.lease_more(locked, CENTRAL, max(missing, config.central_lease))
                except errors.Exhausted as error:
                    raise ipam_exc.IpAddressGenerationFailure(
                        subnet_id=self.subnet_manager.neutron_id
                    ) from error
                held += [one.block for one in made]
                locked = pool.lock(connection, PoolKind.SUBNET, self._subnet_id)
                free = _first_free(held, locked.used, max(num_addresses, _WINDOW))
        chosen = free[:num_addresses] if prefer_next else random.sample(free, num_addresses)
        version = netaddr.IPNetwork(self._cidr).version
        return [str(netaddr.IPAddress(number, version)) for number in chosen]


class CentralPool(neutron_ipam.NeutronDbPool):
    """Every subnet of central."""

    def get_subnet(self, subnet_id: str) -> Any:
        """Load a subnet."""
        return CentralSubnet.load(subnet_id, self._context)

    def update_subnet(self, subnet_request: Any) -> Any:
        """Take on new allocation pools.

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
        """Remove a subnet; sites keep their blocks until they have removed it too."""
        super().remove_subnet(subnet_id)
        with writing(self._context) as connection:
            held = routing.list_sites(connection, ResourceType.SUBNET, [subnet_id]).get(
                subnet_id, {}
            )
            lease_store.delete_unheld(connection, PoolKind.SUBNET, subnet_id, set(held))


def _first_free(held: list[Block], used: frozenset[int], wanted: int) -> list[int]:
    """List the first free numbers of blocks."""
    found: list[int] = []
    taken = [Block(number, number) for number in used]
    for block in arithmetic.subtract(held, taken):
        last = min(block.last, block.first + wanted - len(found) - 1)
        found += range(block.first, last + 1)
        if len(found) >= wanted:
            break
    return found
