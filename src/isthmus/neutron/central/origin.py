"""Whose report is being applied, so that nobody is told what he has just said.

A report is applied through Neutron's own methods, far away from the place where it was read; what
hangs on its origin (the outbox, which must not echo, and the IPAM driver, which lets a site use its
own blocks) asks here.
"""

import contextlib
import contextvars
from collections.abc import Iterator
from dataclasses import dataclass

import sqlalchemy as sa

from isthmus.model.site import SiteName
from isthmus.neutron.db import guard
from isthmus.store import lanes


@dataclass(frozen=True, slots=True)
class Origin:
    """A report under way."""

    site: SiteName
    port_id: str
    sequence: int  #: number of the batch, `isthmus.store.lanes`


_current: contextvars.ContextVar[Origin | None] = contextvars.ContextVar(
    "isthmus_origin", default=None
)


@contextlib.contextmanager
def reported_by(site: SiteName, port_id: str, sequence: int) -> Iterator[None]:
    """Apply what a site said of one port, as long as no newer batch of the site has come."""

    def admit(connection: sa.Connection) -> None:
        lanes.admit(connection, site, sequence)

    token = _current.set(Origin(site, port_id, sequence))
    try:
        with guard.Guarded(admit):
            yield
    finally:
        _current.reset(token)


def current() -> Origin | None:
    """Give the report under way, if any."""
    return _current.get()
