"""What is asked and recorded while objects of central's are made here: two kinds of work.

Each takes many transactions, and a newer batch may arrive between any two of them.
"""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Protocol

import sqlalchemy as sa

from isthmus.model.site import CENTRAL
from isthmus.store.delivery import lane


class Work(Protocol):
    """Says whether work may continue; each transaction of it asks."""

    def begin(self, connection: sa.Connection, ids: Collection[str]) -> None:
        """Begin to deal with objects, in a transaction of its own.

        Raises:
            Stale: newer work has overtaken this.
            Invalid: the number of the batch is none.
        """

    def check(self, connection: sa.Connection, ids: Collection[str]) -> None:
        """Check, until the transaction ends, that objects may still be dealt with.

        Raises:
            Stale: newer work has overtaken this.
            Invalid: the number of the batch is none.
        """


@dataclass(frozen=True)
class Batch:
    """What central sends: a newer batch overtakes it, whatever that one is about."""

    #: Its number.
    sequence: int

    def begin(self, connection: sa.Connection, ids: Collection[str]) -> None:
        """Admit the batch, and record that it deals with these objects."""
        lane.admit(connection, CENTRAL, self.sequence)
        lane.record_applied(connection, ids, self.sequence)

    def check(self, connection: sa.Connection, ids: Collection[str]) -> None:
        """Admit the batch."""
        lane.admit(connection, CENTRAL, self.sequence)


@dataclass(frozen=True)
class Bundle:
    """What this site asked for: a batch overtakes the part of it that it deals with."""

    #: The newest batch when it was asked for.
    seen: int

    def begin(self, connection: sa.Connection, ids: Collection[str]) -> None:
        """Check that no batch has dealt with the objects meanwhile."""
        self.check(connection, ids)

    def check(self, connection: sa.Connection, ids: Collection[str]) -> None:
        """Check that no batch has dealt with the objects meanwhile."""
        lane.refuse_overtaken(connection, CENTRAL, self.seen, ids)
