"""IPAM at a site: addresses are allocated only from the blocks that central has leased to it.

The driver is layered on Neutron's own, which still serves subnets of the site's own. On a stretched
subnet it reads two things per address, as Neutron's does: the site's blocks (a handful of rows) and
the addresses in use. It never calls central: where blocks run low it notifies the keeper, and where
they are empty the core plugin asks once the transaction is over.
"""

import ipaddress
import random
from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa
from neutron.ipam import exceptions as ipam_exc
from neutron.ipam import requests as ipam_req
from neutron.ipam.drivers.neutrondb_ipam import db_models
from neutron.ipam.drivers.neutrondb_ipam import driver as neutron_driver
from neutron_lib import exceptions as n_exc
from neutron_lib.db import api as db_api
from neutron_lib.plugins import directory

from isthmus import errors
from isthmus.federation.leases import lease as arithmetic
from isthmus.federation.leases.pick import pick
from isthmus.model.lease import Block, PoolKind
from isthmus.neutron.api.faults import translated
from isthmus.neutron.db.freed import RequestFactory
from isthmus.neutron.local.lease import sight
from isthmus.neutron.local.ovn import stray
from isthmus.neutron.local.owned import applying
from isthmus.store.leases import lease as lease_store
from isthmus.store.leases import resting
from isthmus.store.local import lease as site_lease
from isthmus.store.tiers import epoch

#: When the site asks for more addresses, and how many it keeps when it returns some.
LOW_WATER = arithmetic.LowWater()

_ALLOCATIONS = db_models.IpamAllocation.__table__


class NotLeased(n_exc.BadRequest):
    """An address that this site may not allocate."""

    message = (
        "Address %(ip)s of subnet %(subnet)s is not leased to site %(site)s: %(reason)s. Choose "
        "another address, or leave it out"
    )


class NotLeasedYet(n_exc.ServiceUnavailable):
    """An address that this site may not allocate at the moment."""

    message = (
        "Address %(ip)s of subnet %(subnet)s is not leased to site %(site)s: %(reason)s. Try "
        "again, choose another address, or leave it out"
    )


class Rests(n_exc.ServiceUnavailable):
    """An address of this site that somebody may still take for another port's."""

    message = (
        "Address %(ip)s of subnet %(subnet)s is not given out at site %(site)s now: it was that of "
        "port %(port)s, %(reason)s, choose another address, or leave it out"
    )


_NOT_HEARD = "of which not every other site has heard yet that it was released. Try again"
_STANDS = (
    "whose row in this site's OVN has it still: its server may still run. Where Neutron does not "
    "have the port, an operator runs ovn-nbctl lsp-del %s at the site, once nothing runs on it. "
    "Until then"
)


def read_used(connection: sa.Connection, ipam_subnet_id: str) -> set[str]:
    """Return the addresses of a subnet that are in use at this site."""
    query = sa.select(_ALLOCATIONS.c.ip_address).where(
        _ALLOCATIONS.c.ipam_subnet_id == ipam_subnet_id
    )
    return set(connection.scalars(query))


def to_text(number: int, version: int) -> str:
    """Return an address as text, as in Neutron's tables."""
    kind = ipaddress.IPv4Address if version == 4 else ipaddress.IPv6Address
    return str(kind(number))


class LocalSubnet(neutron_driver.NeutronDbSubnet):
    """A subnet; of a stretched one this site has only its blocks."""

    def _blocks(self, connection: sa.Connection) -> list[Block] | None:
        """Read the site's blocks; None where the subnet is the site's own."""
        subnet_id = self.subnet_manager.neutron_id
        blocks = site_lease.read_blocks(connection, PoolKind.SUBNET, subnet_id)
        if blocks or directory.get_plugin().ownership.is_stretched_subnet(connection, subnet_id):
            return blocks
        return None

    def _generate_ips(
        self, context: Any, prefer_next: bool = False, num_addresses: int = 1
    ) -> list[str]:
        with db_api.CONTEXT_READER.using(context):
            connection = context.session.connection()
            blocks = self._blocks(connection)
            if blocks is not None:
                with translated():
                    sight.require_sight()
                    epoch.require_recovered(connection)
                # In this order: what is freed in between is seen as one or the other.
                used = read_used(connection, self.subnet_manager._ipam_subnet_id)
                rests = resting.list_numbers(connection, self.subnet_manager.neutron_id)
                used |= {to_text(number, self._cidr.version) for number in rests}
        if blocks is None:
            return list(super()._generate_ips(context, prefer_next, num_addresses))
        return self._pick(blocks, used, num_addresses, prefer_next)

    def _pick(
        self, blocks: Sequence[Block], used: set[str], wanted: int, in_order: bool
    ) -> list[str]:
        version = self._cidr.version
        # One that was requested explicitly may be outside the pools; it is not allocated to anybody
        # else.
        pools = [Block(int(pool.first), int(pool.last)) for pool in self._pools]
        blocks = arithmetic.intersect(blocks, pools)
        # Addresses of ports that came from central count as well, so this is rather too early.
        size = arithmetic.count(pools)
        if arithmetic.runs_dry(blocks, len(used) + wanted, LOW_WATER, size):
            directory.get_plugin().keeper.notify_low(
                PoolKind.SUBNET, self.subnet_manager.neutron_id
            )
        try:
            numbers = pick(
                blocks,
                lambda number: to_text(number, version) in used,
                wanted,
                uniform=random.random,
                in_order=in_order,
            )
        except errors.Exhausted as error:
            raise ipam_exc.IpAddressGenerationFailure(
                subnet_id=self.subnet_manager.neutron_id
            ) from error
        return [to_text(number, version) for number in numbers]

    def allocate(self, address_request: Any) -> str:
        """Allocate one address.

        Raises:
            NotLeased: the requested address is not this site's to allocate.
        """
        by_name = isinstance(address_request, ipam_req.SpecificAddressRequest) and not isinstance(
            address_request, ipam_req.AutomaticAddressRequest
        )
        if by_name and applying.current() is None:
            self._check_leased(address_request.address)
        given = str(super().allocate(address_request))
        if by_name:
            self._end_rest(int(address_request.address), getattr(address_request, "port_id", None))
        # A port that central sends needs no lease here; an address picked for one always does.
        said = by_name and applying.current() is not None
        if not said and not isinstance(address_request, ipam_req.AutomaticAddressRequest):
            self._guard([given])
        return given

    def bulk_allocate(self, address_request: Any) -> list[str]:
        """Allocate several addresses."""
        given = [str(one) for one in super().bulk_allocate(address_request)]
        if isinstance(address_request, ipam_req.BulkAddressRequest):
            self._guard(given)
        return given

    def _guard(self, given: Sequence[str]) -> None:
        """Check, after the insert, that addresses may be allocated here: they were picked unlocked.

        Each must be in a block of this site, which is locked until the transaction ends; one who
        removes it meanwhile has to wait, and then finds the address in use. And none may rest: it
        may have come and gone since this transaction first read.

        Raises:
            IpAddressGenerationFailure: one may not; pick again.
        """
        subnet_id = self.subnet_manager.neutron_id
        with db_api.CONTEXT_WRITER.using(self._context):
            connection = self._context.session.connection()
            if self._blocks(connection) is None:
                return
            numbers = [int(ipaddress.ip_address(text)) for text in given]
            if resting.find_resting(connection, subnet_id, numbers):
                raise ipam_exc.IpAddressGenerationFailure(subnet_id=subnet_id)
            for number in numbers:
                held = lease_store.find_covering(
                    connection, PoolKind.SUBNET, subnet_id, number, write=False
                )
                if held is None:
                    raise ipam_exc.IpAddressGenerationFailure(subnet_id=subnet_id)

    def _end_rest(self, number: int, port_id: str | None) -> None:
        """Check, after the insert, that a requested address does not rest.

        Raises:
            Rests: other sites, or its server, may still believe that its former port has it.
        """
        subnet_id = self.subnet_manager.neutron_id
        with db_api.CONTEXT_WRITER.using(self._context):
            connection = self._context.session.connection()
            last = resting.find_port(connection, subnet_id, number)
            if last is None:
                return
            if last != port_id and applying.current() is None:
                directory.get_plugin().keeper.notify_rested(PoolKind.SUBNET, subnet_id)
                stands = stray.find_standing(connection, PoolKind.SUBNET, [(number, last)])
                raise Rests(
                    ip=to_text(number, self._cidr.version),
                    subnet=subnet_id,
                    site=directory.get_plugin().site.site,
                    port=last,
                    reason=_STANDS % last if stands else _NOT_HEARD,
                )
            resting.delete(connection, subnet_id, [number])

    def _check_leased(self, address: Any) -> None:
        with db_api.CONTEXT_READER.using(self._context):
            connection = self._context.session.connection()
            blocks = self._blocks(connection)
            if blocks is not None:
                with translated():
                    sight.require_sight()
                    epoch.require_recovered(connection, for_central=applying.current() is not None)
        if blocks is None or any(int(address) in block for block in blocks):
            return
        # Of an address that a port here has, Neutron itself says that it is in use.
        if self.subnet_manager.check_unique_allocation(self._context, str(address)):
            raise NotLeased(
                ip=address,
                subnet=self.subnet_manager.neutron_id,
                site=directory.get_plugin().site.site,
                reason="it is in none of the site's blocks",
            )


class LocalPool(neutron_driver.NeutronDbPool):
    """Neutron's own pool, with our subnets."""

    def get_subnet(self, subnet_id: str) -> LocalSubnet:
        """Load a subnet."""
        subnet: LocalSubnet = LocalSubnet.load(subnet_id, self._context)
        return subnet

    def get_address_request_factory(self) -> Any:
        """Return Neutron's factory of address requests, extended by the port that asks."""
        return RequestFactory
