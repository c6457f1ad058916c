"""Locked objects: where they are mapped, read behind a lock of the objects' own rows.

A change of an object has to be told to every site that has it, and a site to which an object is
mapped has to be told every change. The two meet on the object's row in Neutron's table, which both
lock before they read the other's work:

* a transaction that changes an object locks it *shared*, then reads where it is mapped, then
records intents;
* one that maps an object to a site, or away, locks it *alone*, and the object's state is read after
it has committed.

So one of them waits for the other and sees its work, whatever the isolation level: nothing rests on
gap locks, which READ COMMITTED does not take, nor on the snapshot that REPEATABLE READ fixes at the
first plain SELECT. All reads here are locking ones, and nothing else makes a `LockedObjects`;
`isthmus.store.tiers.mapping` has plain reads too, called `peek`, for answers that decide nothing.

Neutron's own foreign keys lock shared what new parts (rules, subnets, ports) belong to, which is
why a shared lock is what a change takes: it never has to be raised.
"""

import datetime
from collections.abc import Collection, Iterable, Mapping

import sqlalchemy as sa

from isthmus.model.resource import ResourceType
from isthmus.model.site import SiteName
from isthmus.store.sql.neutron_tables import OBJECTS
from isthmus.store.tiers import mapping

#: Ids in one IN (...).
_CHUNK = 500


class LockedObjects:
    """Objects of one type whose rows this transaction locks until it ends."""

    def __init__(
        self,
        connection: sa.Connection,
        kind: ResourceType,
        ids: Iterable[str],
        *,
        alone: bool = False,
    ) -> None:
        """Lock the objects' rows, then read where they are mapped.

        Args:
            connection: of the transaction that decides.
            kind: their type.
            ids: the objects; one without a row is only read.
            alone: whether the caller maps them; it then excludes everybody else.
        """
        self.kind = kind
        self._connection = connection
        self._alone = alone
        #: The objects that exist, and the project of each.
        self.owners: dict[str, str | None] = {}
        self._mapped: dict[str, dict[SiteName, bool]] = {}
        wanted = sorted(set(ids))
        for start in range(0, len(wanted), _CHUNK):
            self._lock(wanted[start : start + _CHUNK])
        for start in range(0, len(wanted), _CHUNK):
            self._read(wanted[start : start + _CHUNK])

    def _lock(self, ids: list[str]) -> None:
        table = OBJECTS[self.kind]
        query = (
            sa.select(table.c.id, table.c.project_id)
            .where(table.c.id.in_(ids))
            .order_by(table.c.id)  # one order for all
            .with_for_update(read=not self._alone)
        )
        self.owners.update({row.id: row.project_id for row in self._connection.execute(query)})

    def _read(self, ids: list[str]) -> None:
        self._mapped.update(mapping.list_sites(self._connection, self.kind, ids))

    @property
    def is_alone(self) -> bool:
        """Return whether everybody else is excluded."""
        return self._alone

    def sites(self, resource_id: str) -> Mapping[SiteName, bool]:
        """Return the sites of one object, and whether it is withdrawn from each."""
        return self._mapped.get(resource_id, {})

    def at(self, site: SiteName) -> set[str]:
        """Return the objects that should be at a site; withdrawn ones are not."""
        return {one for one, sites in self._mapped.items() if sites.get(site) is False}

    def map_to(
        self, site: SiteName, ids: Collection[str] | None = None, *, now: datetime.datetime
    ) -> None:
        """Record that objects should be at a site; a withdrawn one is restored.

        Args:
            site: the site.
            ids: which of them, all if None; deleted ones are left out.
            now: the time.
        """
        assert self._alone, "who maps an object locks it alone"
        assert self.kind is not ResourceType.PORT, "a port has a home: isthmus.store.ports.home"
        standing = [one for one in (self.owners if ids is None else ids) if one in self.owners]
        mapping.record(self._connection, self.kind, standing, site, owners=self.owners, now=now)
        for one in standing:
            self._mapped.setdefault(one, {})[site] = False

    def withdraw(self, site: SiteName, ids: Collection[str] | None = None) -> None:
        """Record that a site should not have objects, all if none is named, which still exist."""
        assert self._alone, "who maps an object locks it alone"
        gone = [one for one in self._mapped if ids is None or one in ids]
        mapping.withdraw(self._connection, self.kind, gone, site)
        for one in gone:
            if site in self._mapped[one]:
                self._mapped[one][site] = True
