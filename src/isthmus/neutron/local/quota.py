"""Quotas at a site: its own do not apply to central's objects; central's apply to its new ports.

Central counts every port of a stretched network, wherever it was created. A site asks nobody while
it creates one. If central then finds a project over its quota, it refuses the report; the site
records that, and creates no more ports of the project on stretched networks until central has
accepted all of them, because the tenant has deleted some or got a larger quota.
"""

import contextlib
import contextvars
import threading
import time
from collections.abc import Callable, Collection, Iterator, Sequence
from typing import Any

import sqlalchemy as sa
from neutron.db import models_v2
from neutron.db.quota import driver_nolock
from neutron_lib import exceptions as n_exc
from oslo_config import cfg
from typing_extensions import override

from isthmus import errors
from isthmus.model.item import ItemResult
from isthmus.model.resource import ResourceType
from isthmus.model.site import CENTRAL
from isthmus.neutron.db.session import now
from isthmus.neutron.local.owned import applying
from isthmus.store.delivery import refusal
from isthmus.store.sql.engine import reading

_exempt: contextvars.ContextVar[bool] = contextvars.ContextVar("isthmus_quota", default=False)

#: How long the list of projects that are over their quota is cached, in seconds.
_TTL_S = 1.0


class SiteQuotaDriver(driver_nolock.DbQuotaNoLockDriver):
    """Neutron's driver, which ignores central's objects: they were counted at central."""

    @override
    def quota_limit_check(self, context: Any, project_id: str, resources: Any, deltas: Any) -> None:
        if applying.current() is None and not _exempt.get():
            super().quota_limit_check(context, project_id, resources, deltas)


@contextlib.contextmanager
def exempt() -> Iterator[None]:
    """Count nothing that this thread creates, within the block."""
    token = _exempt.set(True)
    try:
        yield
    finally:
        _exempt.reset(token)


def install() -> None:
    """Make this Neutron's quota driver, unless the operator has chosen one."""
    cfg.CONF.set_default("quota_driver", f"{__name__}.{SiteQuotaDriver.__name__}", group="QUOTAS")


def keep(connection: sa.Connection, results: Sequence[ItemResult]) -> None:
    """Record which ports central has refused because their project is over its quota."""
    for result in results:
        if result.type is not ResourceType.PORT:
            continue
        if result.code == errors.OverQuota.code:
            refusal.record(connection, CENTRAL, result, now=now())
        else:
            refusal.delete(connection, CENTRAL, result.id)


class Overdrawn:
    """Which projects have ports here that central has refused; one per process."""

    def __init__(
        self, engine: Callable[[], sa.Engine], clock: Callable[[], float] = time.monotonic
    ) -> None:
        """Initialise.

        Args:
            engine: returns the site's database.
            clock: returns monotonic seconds.
        """
        self._engine = engine
        self._clock = clock
        self._lock = threading.Lock()
        self._until = 0.0
        self._projects: frozenset[str] = frozenset()

    def check(self, project_ids: Collection[str | None]) -> None:
        """Refuse to create more ports of a project that is over its quota at central.

        Raises:
            OverQuota: one of them is.
        """
        if not self._read_overdrawn().isdisjoint(project_ids):
            raise n_exc.OverQuota(overs=["port"])

    def _read_overdrawn(self) -> frozenset[str]:
        with self._lock:
            if self._clock() < self._until:
                return self._projects
            self._until = self._clock() + _TTL_S
        port = models_v2.Port.__table__
        query = (
            sa.select(port.c.project_id)
            .where(port.c.id.in_(refusal.select_ids(CENTRAL)))
            .distinct()
        )
        with reading(self._engine()) as connection:
            projects = frozenset(connection.scalars(query))
        with self._lock:
            self._projects = projects
        return projects
