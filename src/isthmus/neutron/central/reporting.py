"""Whose report is being applied, so that nobody is told what he has just said.

A report is applied through Neutron's own methods, far away from the place where it was read; what
depends on that (the listener, which must not echo, and the IPAM driver, which lets a site use its
own blocks) asks here.
"""

import contextlib
import contextvars
from collections.abc import Iterator
from dataclasses import dataclass

import sqlalchemy as sa

from isthmus.model.site import SiteName
from isthmus.neutron.db import guard
from isthmus.store.delivery import lane as lane_store


@dataclass(frozen=True, slots=True)
class CurrentReport:
    """A report under way."""

    site: SiteName
    port_id: str
    sequence: int  #: number of the batch, `isthmus.store.delivery.lane`


_current: contextvars.ContextVar[CurrentReport | None] = contextvars.ContextVar(
    "isthmus_current_report", default=None
)


@contextlib.contextmanager
def reported_by(site: SiteName, port_id: str, sequence: int) -> Iterator[None]:
    """Apply what a site said of one port, as long as no newer batch of the site has come."""

    def admit(connection: sa.Connection) -> None:
        lane_store.admit(connection, site, sequence)

    token = _current.set(CurrentReport(site, port_id, sequence))
    try:
        with guard.Guarded(admit):
            yield
    finally:
        _current.reset(token)


def current() -> CurrentReport | None:
    """Give the report under way, if any."""
    return _current.get()


_correcting: contextvars.ContextVar[bool] = contextvars.ContextVar(
    "isthmus_correcting", default=False
)


@contextlib.contextmanager
def correcting() -> Iterator[None]:
    """Change what came back with a backup, and not on anybody's behalf."""
    token = _correcting.set(True)
    try:
        yield
    finally:
        _correcting.reset(token)


def is_correcting() -> bool:
    """Tell whether what is being changed came back with a backup, and was wrong."""
    return _correcting.get()
