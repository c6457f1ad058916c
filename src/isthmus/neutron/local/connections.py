"""Connections that the parts of a site's Neutron share in one process.

They are opened at first use, because a server loads its plugins before it forks its workers.
"""

import threading
from collections.abc import Callable
from typing import Generic, TypeVar

import sqlalchemy as sa
from oslo_config import cfg

from isthmus.clients.http.central import CentralClient
from isthmus.clients.http.transport import Timeouts, open_session
from isthmus.config.site import GROUP, SiteConfig
from isthmus.neutron.local.owned.person import find_token
from isthmus.store.sql.engine import open_engine, reading
from isthmus.store.tiers import epoch

_T = TypeVar("_T")


class Lazy(Generic[_T]):
    """A value that is created once, at first use."""

    def __init__(self, make: Callable[[], _T]) -> None:
        """Initialise with the function that creates it."""
        self._make = make
        self._lock = threading.Lock()
        self._made: list[_T] = []

    def __call__(self) -> _T:
        """Return the value."""
        if not self._made:
            with self._lock:
                if not self._made:
                    self._made.append(self._make())
        return self._made[0]


def open_central(site: SiteConfig, database: Callable[[], sa.Engine]) -> CentralClient:
    """Return the client for central.

    Args:
        site: this site.
        database: returns its database, which knows the site's incarnation.
    """

    def incarnation() -> str:
        with reading(database()) as connection:
            return epoch.peek_incarnation(connection)

    timeouts = Timeouts(connect_s=site.connect_timeout_s, read_s=site.read_timeout_s)
    auth_session = open_session(cfg.CONF, GROUP, timeouts, endpoint=site.central_url)
    client = CentralClient(
        auth_session,
        endpoint=site.central_url,
        region=site.central_region,
        interface=site.central_interface,
        person=find_token,
    )
    client.incarnation = incarnation
    return client


def open_database() -> sa.Engine:
    """Open the site's database besides Neutron's own connections, for our own transactions."""
    return open_engine(cfg.CONF.database.connection)
