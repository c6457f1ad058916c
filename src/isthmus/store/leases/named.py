"""What sites name of numbers when central was restored, and what is kept of that.

Only what differs from central's own tables is recorded. A site says of a number that a port of its
own *has* it, that its port *lacks* it though central thinks otherwise, or that it *knows* it as
that of a port of another site. A site that was restored itself says of a number that a *stray* has
it: a port that its OVN alone knows. It is decided when all sites have registered; what is left is
*kept* for a port that central has yet to learn from a report.
"""

from collections.abc import Collection, Iterable
from dataclasses import dataclass

import sqlalchemy as sa

from isthmus import errors
from isthmus.model.lease import Block, Lease, LeaseId, PoolKind
from isthmus.model.site import SiteName
from isthmus.store.leases import resting
from isthmus.store.leases.lease import to_text
from isthmus.store.sql.tables import NAMED_LEASES, NAMED_NUMBERS
from isthmus.store.tiers.latest import Latest

HAS, LACKS, KNOWS, STRAY = "has", "lacks", "knows", "stray"
_CHUNK = 500
_OPEN = NAMED_NUMBERS.c.decided.is_(sa.false())


@dataclass(frozen=True, slots=True, order=True)
class Word:
    """What a site names of a number."""

    site: SiteName
    kind: PoolKind
    pool_id: str
    number: int
    port_id: str
    word: str
    home: SiteName  #: site of the port


def record(connection: sa.Connection, site: SiteName, words: Iterable[Word]) -> None:
    """Record what a site names, replacing what it named before.

    Of a port that it has it knows better than its shadows, which may be left from before.
    """
    connection.execute(sa.delete(NAMED_NUMBERS).where(NAMED_NUMBERS.c.site == site))
    spoken: dict[tuple[object, ...], Word] = {}
    for one in sorted(set(words), key=lambda one: (one.word == KNOWS, one)):
        spoken.setdefault((one.site, one.kind, one.pool_id, one.number, one.port_id), one)
    rows = [
        {
            "site": one.site,
            "kind": one.kind.value,
            "pool_id": one.pool_id,
            "number": to_text(one.number),
            "port_id": one.port_id,
            "word": one.word,
            "home": one.home,
            "decided": False,
        }
        for one in spoken.values()
    ]
    for start in range(0, len(rows), _CHUNK):
        connection.execute(sa.insert(NAMED_NUMBERS), rows[start : start + _CHUNK])


def list_open(connection: sa.Connection, word: str) -> list[Word]:
    """List what has not been decided yet."""
    query = sa.select(NAMED_NUMBERS).where(_OPEN, NAMED_NUMBERS.c.word == word)
    order = (NAMED_NUMBERS.c.pool_id, NAMED_NUMBERS.c.number, NAMED_NUMBERS.c.site)
    return [_word(row) for row in connection.execute(query.order_by(*order))]


def is_open(connection: sa.Connection) -> bool:
    """Return whether anything has yet to be decided."""
    return any(
        connection.execute(query.limit(1)).first() is not None
        for query in (sa.select(NAMED_NUMBERS.c.site).where(_OPEN), sa.select(NAMED_LEASES.c.id))
    )


def says(
    connection: sa.Connection,
    site: SiteName,
    word: str,
    pool_id: str,
    number: int,
    port_id: str,
    *,
    home: SiteName | None = None,
) -> bool:
    """Return whether a site names this number for a port.

    Args:
        connection: of the transaction.
        site: whose word counts.
        word: `has`, `lacks`, `knows` or `stray`.
        pool_id: the pool.
        number: the number.
        port_id: the port.
        home: where it says that the port is; None: anywhere.
    """
    query = sa.select(NAMED_NUMBERS.c.site).where(
        NAMED_NUMBERS.c.site == site,
        NAMED_NUMBERS.c.word == word,
        NAMED_NUMBERS.c.pool_id == pool_id,
        NAMED_NUMBERS.c.number == to_text(number),
        NAMED_NUMBERS.c.port_id == port_id,
    )
    if home is not None:
        query = query.where(NAMED_NUMBERS.c.home == home)
    return connection.execute(query.limit(1)).first() is not None


def require_open(connection: sa.Connection, word: Word) -> None:
    """Check that nobody has decided a word yet, and lock it against who decides it too.

    Raises:
        Stale: somebody has, or its site has taken it back.
    """
    query = sa.select(NAMED_NUMBERS.c.site).where(
        *_is(word), NAMED_NUMBERS.c.word == word.word, _OPEN
    )
    if not Latest.read(connection, query, lambda row: row.site, write=True):
        raise errors.Stale(f"what site {word.site} named of {word.pool_id} is decided")


def require_lease(connection: sa.Connection, lease: Lease) -> None:
    """Check that a named lease has not been decided yet, and lock the row.

    Raises:
        Stale: it has, or its site has taken it back.
    """
    query = sa.select(NAMED_LEASES.c.id).where(
        NAMED_LEASES.c.id == lease.id, NAMED_LEASES.c.site == lease.site
    )
    if not Latest.read(connection, query, lambda row: row.id, write=True):
        raise errors.Stale(f"what was named of lease {lease.id} is decided")


def drop_known(connection: sa.Connection, *, but_at: Collection[SiteName]) -> None:
    """Delete what sites know of the ports of others, except of those of certain sites."""
    connection.execute(
        sa.delete(NAMED_NUMBERS).where(
            _OPEN, NAMED_NUMBERS.c.word == KNOWS, NAMED_NUMBERS.c.home.not_in(sorted(but_at))
        )
    )


def drop(connection: sa.Connection, word: Word) -> None:
    """Delete what a site named: it was decided, and nothing of it is left."""
    connection.execute(sa.delete(NAMED_NUMBERS).where(*_is(word)))


def keep(connection: sa.Connection, word: Word) -> None:
    """Keep a number for its port until the port is reported."""
    connection.execute(sa.update(NAMED_NUMBERS).where(*_is(word)).values(decided=True))


def find_kept(connection: sa.Connection, pool_id: str, number: int) -> Word | None:
    """Return for which port a number is kept, as currently committed."""
    query = sa.select(NAMED_NUMBERS).where(
        NAMED_NUMBERS.c.pool_id == pool_id,
        NAMED_NUMBERS.c.number == to_text(number),
        NAMED_NUMBERS.c.decided.is_(sa.true()),
    )
    return next(iter(Latest.read(connection, query, _word, write=False)), None)


def find_all_kept(connection: sa.Connection, pool_id: str, numbers: Collection[int]) -> set[int]:
    """Return which numbers are kept for ports, as currently committed."""
    listed, found = sorted(numbers), set[int]()
    for start in range(0, len(listed), _CHUNK):
        query = sa.select(NAMED_NUMBERS.c.number).where(
            NAMED_NUMBERS.c.pool_id == pool_id,
            NAMED_NUMBERS.c.number.in_([to_text(one) for one in listed[start : start + _CHUNK]]),
            NAMED_NUMBERS.c.decided.is_(sa.true()),
        )
        found |= set(Latest.read(connection, query, lambda row: int(row.number), write=False))
    return found


def end_unborne(
    connection: sa.Connection, site: SiteName, port_id: str, has: Collection[tuple[str, int]]
) -> None:
    """Delete what a site named for a port, as far as its report of the port does not bear it out.

    A number that the port had rests, like any that a port gives up.

    Args:
        connection: of the transaction, in which the site's report of the port is taken.
        site: who has named it, and reports the port now.
        port_id: the port.
        has: the addresses that the port has, as (subnet, number); none where it is gone.
    """
    query = sa.select(NAMED_NUMBERS).where(
        NAMED_NUMBERS.c.site == site,
        NAMED_NUMBERS.c.port_id == port_id,
        NAMED_NUMBERS.c.word.in_([HAS, LACKS]),
    )
    words = [_word(row) for row in connection.execute(query)]
    _end(
        connection,
        [one for one in words if ((one.pool_id, one.number) in has) != (one.word == HAS)],
    )


def end_of_site(connection: sa.Connection, site: SiteName) -> None:
    """Delete what is kept for the ports of a site that is gone for good."""
    query = sa.select(NAMED_NUMBERS).where(NAMED_NUMBERS.c.site == site)
    _end(connection, [_word(row) for row in connection.execute(query)])


def _end(connection: sa.Connection, words: Collection[Word]) -> None:
    kept = [
        (one.pool_id, one.number, one.port_id)
        for one in words
        if one.word == HAS and resting.find_port(connection, one.pool_id, one.number) is None
    ]
    resting.record(connection, kept)  # only addresses
    for one in words:
        drop(connection, one)


def move(connection: sa.Connection, old: SiteName, new: SiteName) -> None:
    """Change the site name under which numbers are kept for a site's ports."""
    connection.execute(sa.update(NAMED_NUMBERS).where(NAMED_NUMBERS.c.site == old).values(site=new))


def delete_pool(connection: sa.Connection, pool_id: str) -> None:
    """Delete what is kept of a deleted pool."""
    connection.execute(sa.delete(NAMED_NUMBERS).where(NAMED_NUMBERS.c.pool_id == pool_id))


def record_lease(connection: sa.Connection, lease: Lease) -> None:
    """Record a lease that central has forgotten and cannot grant yet."""
    here = (NAMED_LEASES.c.id == lease.id, NAMED_LEASES.c.site == lease.site)
    connection.execute(sa.delete(NAMED_LEASES).where(*here))
    connection.execute(
        sa.insert(NAMED_LEASES).values(
            id=lease.id,
            site=lease.site,
            kind=lease.kind.value,
            pool_id=lease.pool_id,
            first=to_text(lease.block.first),
            last=to_text(lease.block.last),
            origin=lease.origin,
        )
    )


def list_leases(connection: sa.Connection) -> list[Lease]:
    """List the leases that are named."""
    return [
        Lease(
            id=LeaseId(row.id),
            kind=PoolKind(row.kind),
            pool_id=row.pool_id,
            site=SiteName(row.site),
            block=Block(int(row.first), int(row.last)),
            origin=row.origin and LeaseId(row.origin),
        )
        for row in connection.execute(
            sa.select(NAMED_LEASES).order_by(NAMED_LEASES.c.pool_id, NAMED_LEASES.c.first)
        )
    ]


def list_lease_ids(connection: sa.Connection, site: SiteName) -> set[str]:
    """List the ids of the leases that a site names."""
    query = sa.select(NAMED_LEASES.c.id).where(NAMED_LEASES.c.site == site)
    return set(connection.scalars(query))


def drop_leases(
    connection: sa.Connection, site: SiteName, lease_ids: Collection[str] | None = None
) -> None:
    """Delete what a site named of leases; None for all."""
    query = sa.delete(NAMED_LEASES).where(NAMED_LEASES.c.site == site)
    if lease_ids is not None:
        query = query.where(NAMED_LEASES.c.id.in_(list(lease_ids)))
    connection.execute(query)


def _is(word: Word) -> "tuple[sa.ColumnElement[bool], ...]":
    return (
        NAMED_NUMBERS.c.site == word.site,
        NAMED_NUMBERS.c.kind == word.kind.value,
        NAMED_NUMBERS.c.pool_id == word.pool_id,
        NAMED_NUMBERS.c.number == to_text(word.number),
        NAMED_NUMBERS.c.port_id == word.port_id,
    )


def _word(row: sa.Row[tuple[str, ...]]) -> Word:
    return Word(
        site=SiteName(row.site),
        kind=PoolKind(row.kind),
        pool_id=row.pool_id,
        number=int(row.number),
        port_id=row.port_id,
        word=row.word,
        home=SiteName(row.home),
    )
