"""Addresses outside the site's blocks: requested explicitly, or because blocks are empty."""

import ipaddress
from collections.abc import Collection, Iterable, Sequence

import netaddr
import sqlalchemy as sa
from neutron.db import models_v2
from neutron_lib import exceptions as n_exc

from isthmus import errors
from isthmus.model.lease import PoolKind
from isthmus.model.site import SiteName
from isthmus.neutron.db.leased import list_leased
from isthmus.neutron.local.ipam import NotLeased, NotLeasedYet
from isthmus.neutron.local.lease.keeper import Keeper
from isthmus.neutron.local.owned.ownership_cache import OwnershipCache
from isthmus.store.local import lease as site_lease
from isthmus.store.sql.engine import reading

_SUBNETS = models_v2.Subnet.__table__


class IpAddressGenerationFailure(n_exc.IpAddressGenerationFailure):
    """Neutron's error for an exhausted pool, under its own name, with the reason."""

    message = "No more IP addresses available on network %(net_id)s: %(reason)s."


class Addresses:
    """Asks central for addresses outside the site's blocks; one per process."""

    def __init__(self, site: SiteName, ownership: OwnershipCache, keeper: Keeper) -> None:
        """Initialise."""
        self._site = site
        self._ownership = ownership
        self._keeper = keeper
        self._why: dict[str, str] = {}

    def find_outside(
        self,
        connection: sa.Connection,
        network_id: str,
        addresses: Sequence[tuple[str | None, str]],
    ) -> list[tuple[str, str]]:
        """Return the requested addresses that no block of this site holds, with their subnets.

        Args:
            connection: of the transaction.
            network_id: a stretched network.
            addresses: (subnet or None, address) as a request names them.
        """
        if not addresses:
            return []
        outside = []
        subnets = connection.execute(
            sa.select(_SUBNETS.c.id, _SUBNETS.c.cidr).where(_SUBNETS.c.network_id == network_id)
        ).all()
        leased = list_leased(connection, network_id)
        for subnet_id, address in addresses:
            subnet = next(
                (
                    one
                    for one in subnets
                    if (subnet_id is None or one.id == subnet_id)
                    and address in netaddr.IPNetwork(one.cidr)
                ),
                None,
            )
            if subnet is None or subnet.id not in leased:
                continue  # Neutron refuses it, or derives it from the MAC
            number = int(ipaddress.ip_address(address))
            blocks = site_lease.read_blocks(connection, PoolKind.SUBNET, subnet.id)
            if not any(number in block for block in blocks) and not self._is_used(
                connection, subnet.id, address
            ):
                outside.append((subnet.id, address))
        return outside

    def _is_used(self, connection: sa.Connection, subnet_id: str, address: str) -> bool:
        """Return whether a port of this site has an address already (an update repeats it)."""
        table = models_v2.IPAllocation.__table__
        query = sa.select(table.c.port_id).where(
            table.c.subnet_id == subnet_id, table.c.ip_address == address
        )
        return connection.scalar(query) is not None

    def ask(self, subnet_id: str, address: str) -> None:
        """Ask central for one address.

        Raises:
            NotLeased: it belongs to another holder.
            NotLeasedYet: central does not answer, or cannot lease it at the moment.
        """
        try:
            self._keeper.fetch(PoolKind.SUBNET, subnet_id, address=address)
        except errors.IsthmusError as error:
            fault = NotLeasedYet if isinstance(error, errors.Transient) else NotLeased
            raise fault(
                ip=address, subnet=subnet_id, site=self._site, reason=error.message
            ) from error

    def refill(self, network_ids: Collection[str], count: int) -> None:
        """Request more addresses of the subnets of stretched networks whose blocks are too small.

        Args:
            network_ids: the networks.
            count: how many addresses are needed of each subnet.
        """
        for network_id in network_ids:
            for subnet_id in self._find_leased_subnets(network_id):
                if self._keeper.count_free(subnet_id) >= count:
                    continue
                try:
                    self._keeper.fetch(PoolKind.SUBNET, subnet_id, count=count)
                    self._why.pop(network_id, None)
                except errors.IsthmusError as error:
                    self._why[network_id] = error.message

    def refill_keys(self, found: Iterable[Exception], count: int) -> bool:
        """Request more port keys if the failure was a lack of them.

        Returns:
            Whether the caller should try again.
        """
        missing = [
            error
            for error in found
            if isinstance(error, errors.Exhausted) and error.fields.get("pool_id")
        ]
        for error in missing:
            try:
                self._keeper.fetch(
                    PoolKind(str(error.fields["kind"])), str(error.fields["pool_id"]), count=count
                )
            except errors.IsthmusError:
                return False
        return bool(missing)

    def explain(
        self, error: n_exc.IpAddressGenerationFailure, network_ids: Collection[str]
    ) -> n_exc.NeutronException:
        """Return why no address is left; errors for unstretched networks are returned unchanged."""
        for network_id in network_ids:
            if network_id in self._why:
                return IpAddressGenerationFailure(
                    net_id=network_id,
                    reason=f"the blocks leased to site {self._site} are full and "
                    f"{self._why[network_id]}",
                )
        return error

    def _find_leased_subnets(self, network_id: str) -> list[str]:
        """List the subnets of a stretched network whose addresses are leased."""
        with reading(self._keeper.engine()) as connection:
            if not self._ownership.is_stretched(connection, network_id):
                return []
            return sorted(list_leased(connection, network_id))
