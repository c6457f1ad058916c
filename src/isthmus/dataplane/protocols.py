"""What the data plane needs of the outside: OVN's databases, and the site's own tables.

The real ones are `isthmus.clients.ovsdb` and `isthmus.neutron.local.ovn`; `isthmus.testing` has one
of each in memory. Both are held to the same contract by `tests/ports/test_row_kinds.py`.
"""

import enum
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any, Protocol

from isthmus.model.dataplane.ovn import RaSubnet
from isthmus.model.dataplane.shadow import Shadow
from isthmus.model.exits.plan import SitePlan
from isthmus.model.exits.request import Hypervisor
from isthmus.model.site import SiteName


class Tables(Protocol):
    """The tables of a database within a transaction, as a command sees them.

    A row has its columns as attributes, and `addvalue`, `delvalue`, `setkey`, `verify` and
    `delete`, as the rows of `ovs.db.idl` have them.
    """

    def find(self, table: str, value: Any, column: str = "name") -> Any:
        """Find a row by one of its columns; None where there is none."""

    def insert(self, table: str) -> Any:
        """Insert an empty row."""

    def run(self, name: str, /, *args: Any, **options: Any) -> None:
        """Run one of ovsdbapp's own commands, by the name that it has in ovsdbapp's API."""


class Command(Protocol):
    """A change of one row, and of what hangs on it; idempotent."""

    def write(self, tables: Tables) -> None:
        """Change the row, within a transaction."""


class Database(Protocol):
    """One of OVN's databases."""

    @property
    def lock(self) -> AbstractContextManager[Any]:
        """Hold it while a row's references are followed: rows change under a reader."""

    def find(self, table: str, value: Any, column: str = "name") -> Any:
        """Find a row by one of its columns; None where there is none."""

    def rows(self, table: str) -> Iterator[Any]:
        """Return every row of a table, holding the lock for a few hundred of them at a time."""

    def commit(self, commands: Sequence[Command]) -> list[str]:
        """Write commands, in as few transactions as the database gets through with.

        Returns:
            One sentence for each command that the database refused, or alone did not get through
            with; the rest is written.

        Raises:
            TimedOut: the database did not answer in time; some may be written, and what is tried
                next is half as large.
        """


class Trust(enum.IntEnum):
    """What the site's tables count for against OVN's rows; each includes the one before."""

    NONE = 0  #: they were restored, and the site has not recovered
    OWN = 1  #: for what is its own
    ALL = 2


class Source(Protocol):
    """What the site's own tables say, within one transaction."""

    def trust(self) -> Trust:
        """Return what they count for: a restore may have made them older than OVN's rows."""

    def life(self) -> str:
        """Return what changes each time it is found that they went back to a backup."""

    def networks(self) -> Mapping[str, int]:
        """List the datapath keys of the networks stretched to this site."""

    def networks_on_fabrics(self) -> Collection[str]:
        """List the stretched networks that are on a fabric of the site, not in tunnels."""

    def shadows(self, port_ids: Collection[str] | None) -> list[Shadow]:
        """List the shadows of ports; with None, all on stretched networks."""

    def shadows_on(self, network_ids: Collection[str]) -> list[Shadow]:
        """List the shadows on certain networks."""

    def list_members(self, groups: Collection[str]) -> list[str]:
        """List the ports whose shadows belong into port groups."""

    def one_shadow_per_chassis(self, names: Collection[str] | None) -> list[Shadow]:
        """List one shadow for each hypervisor; with None, of every hypervisor there is."""

    def exits(self, router_ids: Collection[str] | None) -> Mapping[str, SitePlan]:
        """List what is decided of routers' exits, by router; with None, of all."""

    def exit_hypervisors(
        self, names: Collection[str] | None
    ) -> Sequence[tuple[SiteName, Hypervisor]]:
        """List the hypervisors of other sites that have gateways, as far as is said; None: all."""

    def translates_at_ports(self) -> bool:
        """Tell whether a floating IP is translated on its port's own hypervisor."""

    def port_keys(self) -> Mapping[str, tuple[str, int]]:
        """List network and port key of the site's own ports on stretched networks."""

    def find_port_key(self, port_id: str) -> int | None:
        """Find the port key of a port of the site's own."""

    def ra_subnets(self, network_ids: Collection[str]) -> list[RaSubnet]:
        """List the IPv6 subnets of networks whose addresses need router advertisements."""

    def list_keyless_ports(self) -> list[tuple[str, str]]:
        """List (network, port) of the site's ports on stretched networks that have no key yet."""

    def name_group(self, security_group_id: str) -> str:
        """Return the name of a security group's port group."""


class SiteTables(Protocol):
    """The site's tables, and what is to be written into them."""

    def reading(self) -> AbstractContextManager[Source]:
        """Open a transaction that only reads."""

    def allocate_key(self, network_id: str, port_id: str) -> bool:
        """Allocate the key of a port; return whether the keys of its network run low.

        Raises:
            Exhausted: there is none.
            Busy: the site was restored and has not recovered yet.
        """

    def free_keys(self, port_ids: Collection[str]) -> None:
        """Note that ports that are no more have given up their keys."""
