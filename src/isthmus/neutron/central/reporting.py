"""Whose report is being applied, so that a site's own change is not echoed back to it.

A report is applied through Neutron's own methods, far away from where it was read. What depends on
that asks here: the listener, which must not echo, and the IPAM driver, which lets a site use its
own blocks.
"""

import contextlib
import contextvars
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from isthmus.model.site import SiteName
from isthmus.neutron.db import guard
from isthmus.store.delivery import lane as lane_store


@dataclass(frozen=True, slots=True)
class CurrentReport:
    """A report that is being applied."""

    site: SiteName
    port_id: str
    sequence: int  #: number of the batch, `isthmus.store.delivery.lane`
    status: str | None  #: of the port at its home, where the report says it


def reported_by(
    site: SiteName, port_id: str, sequence: int, status: str | None = None
) -> guard.Guarded:
    """Apply a site's report of one port, as long as no newer batch of the site arrives.

    Args:
        site: the site that reports.
        port_id: the port.
        sequence: number of the batch.
        status: what the site says of the port's status; None where it does not.
    """

    def admit(connection: sa.Connection) -> None:
        lane_store.admit(connection, site, sequence)

    report = CurrentReport(site, port_id, sequence, status)
    return guard.Guarded(admit, subject=report, writes=True)


def current() -> CurrentReport | None:
    """Return the report that is being applied, if any."""
    return guard.find_subject(CurrentReport)


_merged: contextvars.ContextVar[Mapping[str, Any] | None] = contextvars.ContextVar(
    "isthmus_merged", default=None
)


@contextlib.contextmanager
def merged_with(theirs: Mapping[str, Any]) -> Iterator[None]:
    """Change a port as long as it is at central as it was when a report was merged with it.

    Args:
        theirs: the port as `site_api.comparable` gives it.
    """
    token = _merged.set(theirs)
    try:
        yield
    finally:
        _merged.reset(token)


def merged() -> Mapping[str, Any] | None:
    """Return central's values with which the report was merged that is being applied, if any."""
    return _merged.get()


_correcting: contextvars.ContextVar[bool] = contextvars.ContextVar(
    "isthmus_correcting", default=False
)


@contextlib.contextmanager
def correcting() -> Iterator[None]:
    """Correct what was restored from a backup, on nobody's behalf."""
    token = _correcting.set(True)
    try:
        yield
    finally:
        _correcting.reset(token)


def is_correcting() -> bool:
    """Return whether a correction of restored data is being made."""
    return _correcting.get()
