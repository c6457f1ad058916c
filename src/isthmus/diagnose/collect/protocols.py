"""What is read of the outside; `isthmus.wiring.diagnose` joins these with clients and the lab."""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

from isthmus.diagnose.world import Row, Source
from isthmus.facts.ovsdb import Select


class Api(Protocol):
    """Lists of one tier's Neutron, Isthmus' own among them."""

    def list(self, resource: str, **filters: Any) -> list[Row]:
        """List resources, all of them."""

    def read_ahead_s(self) -> float:
        """Return how far its clock is ahead of ours, as its last answer told it; in seconds."""


class Database(Protocol):
    """One OVSDB database."""

    def select(self, selects: Sequence[Select]) -> list[list[Row]]:
        """Return the rows of each select."""

    def read_server(self) -> Row:
        """Return how the server has its database: model, leader, connected (ovsdb-server(5))."""


class Hypervisor(Protocol):
    """One hypervisor; nothing is changed on it."""

    def select(self, selects: Sequence[Select]) -> list[list[Row]]:
        """Return rows of Open vSwitch's own database."""

    def ask_daemon(self, daemon: str, *words: str) -> str:
        """Return what a daemon says to a command of its own.

        Raises:
            NotFound: it does not run.
            TimedOut: it runs, and does not answer.
        """

    def list_flows(self, match: str, bridge: str = "") -> list[str]:
        """List the flows of a bridge, the integration bridge, that have certain fields."""

    def run_ip(self, *words: str) -> str:
        """Return what `ip` says, as JSON."""

    def read_file(self, path: str) -> str:
        """Return the beginning of a file.

        Raises:
            NotFound: there is none.
        """

    def read_log(self, daemon: str) -> list[str]:
        """Return the last lines of a daemon's log.

        Raises:
            NotFound: it has none there.
        """


@runtime_checkable
class Kept(Protocol):
    """A hypervisor that was read already: what was made of its answers is there as it was made."""

    def get_made(self, table: str) -> list[Row]:
        """Return the rows of a table that `collect/machine.py` makes.

        Raises:
            Unsupported: it was not read then.
        """


@runtime_checkable
class InMemory(Protocol):
    """Ways in to what is there already: each answer comes at once, and nobody is waited for."""

    def get_rows(self, source: Source, place: str, table: str) -> Any:
        """Return the rows of a table."""


class WaysIn(Protocol):
    """Ways to what is read, each with the person's own credentials."""

    @property
    def api(self) -> Api:
        """Central."""

    @property
    def lab(self) -> str:
        """Name of the lab in which all that is read runs; empty where there is none."""

    def open_site_api(self, name: str, region: str) -> Api:
        """Open the lists of a site's Neutron."""

    def open_northbound(self, site: str) -> Database:
        """Open a site's northbound database.

        Raises:
            Unsupported: there is no way in; the message says what would be one.
        """

    def open_southbound(self, site: str) -> Database:
        """Open a site's southbound database.

        Raises:
            Unsupported: there is no way in.
        """

    def open_host(self, host: str) -> Hypervisor:
        """Open a hypervisor.

        Raises:
            Unsupported: there is no way in.
        """

    def find_server_port(self, name: str) -> str | None:
        """Find the port of a server that only the lab knows by name; None where there is none."""

    def list_servers(self) -> Mapping[str, str]:
        """List the ports of servers that only the lab knows, by the names of these."""
