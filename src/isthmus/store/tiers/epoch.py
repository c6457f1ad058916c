"""The incarnation of a tier's database: its epoch, and whether it may allocate numbers.

A database that was restored from a backup, or created anew, does not know what was allocated since.
Its tier begins a new epoch and allocates nothing before it has recovered: a site, when central has
received its blocks and returned what was lost; central, when every site has registered or an
operator has decided to go on without it.
"""

import enum
import hashlib
import hmac
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from isthmus import errors
from isthmus.model import number
from isthmus.model.intent import Event, What
from isthmus.model.site import SiteName
from isthmus.store.delivery import event
from isthmus.store.delivery import lane as lane_store
from isthmus.store.ports import home
from isthmus.store.sql.tables import (
    EPOCHS,
    NAMED_LEASES,
    NAMED_NUMBERS,
    NAMED_PORTS,
    REGISTRATIONS,
    SITES,
    WITNESSES,
)
from isthmus.store.sql.upsert import insert_or_update

#: The id of a row among those of the witnesses: the greatest turn of any whose row was pruned.
PRUNED = "pruned"
_OWN = "own"
#: Limit of sites that a reason names.
_NAMED = 5


class Behind(enum.IntEnum):
    """How far a restored site has heard of the ports of other sites; its OVN has their rows."""

    NOT = 0  #: its shadows are as new as OVN's rows
    NOT_SENT = 1  #: central has yet to send some of what it knew
    NOT_KNOWN = 2  #: central may have yet to hear of some itself


@dataclass(frozen=True, slots=True, kw_only=True)
class Epoch:
    """The incarnation of a tier."""

    epoch: int
    life: str  #: tells this epoch from one of the same number that another database began
    recovered: bool
    reason: str
    secret: str
    registration: str | None
    heard: int
    proof: str
    registered: int = 0  #: at a site: the newest epoch in which it has applied a registration
    replaced_by: int = 0  #: the epoch of another database that central hears in its place
    behind: Behind = Behind.NOT  #: at a site: whether OVN's rows may be newer than its shadows

    @property
    def tier(self) -> str:
        """Return what tells this database, however old, from any other; the secret stays one."""
        return hashlib.sha256(f"tier {self.secret}".encode()).hexdigest()[:16]


def read(connection: sa.Connection) -> Epoch:
    """Read the tier's epoch as currently committed; created the first time, so the caller writes.

    The row is locked until the transaction ends, against whoever is about to change it.
    """
    query = sa.select(EPOCHS).where(EPOCHS.c.id == _OWN).with_for_update()
    row = connection.execute(query).one_or_none()
    if row is None:
        connection.execute(
            sa.insert(EPOCHS).values(
                id=_OWN,
                epoch=lane_store.FIRST_EPOCH,
                life=_new_life(),
                recovered=True,
                secret=secrets.token_hex(32),
                heard=0,
            )
        )
        row = connection.execute(query).one()
    return _from_row(row)


def peek(connection: sa.Connection) -> Epoch | None:
    """Read the tier's epoch without locks; None where no row exists."""
    row = connection.execute(sa.select(EPOCHS).where(EPOCHS.c.id == _OWN)).one_or_none()
    return None if row is None else _from_row(row)


def _from_row(row: Any) -> Epoch:
    return Epoch(
        epoch=int(row.epoch),
        life=row.life,
        recovered=bool(row.recovered),
        reason=row.reason or "",
        secret=row.secret,
        registration=row.registration,
        heard=int(row.heard),
        proof=row.proof or "",
        registered=int(row.registered),
        replaced_by=int(row.replaced_by),
        behind=Behind(row.behind),
    )


def _new_life() -> str:
    return secrets.token_hex(8)


def show_incarnation(registration: str | None, epoch: int, life: str | None) -> str:
    """Return the incarnation of a site as text, as its calls carry it."""
    return f"{registration or ''}/{epoch}" + (f".{life}" if life else "")


def peek_incarnation(connection: sa.Connection) -> str:
    """Return, at a site, its incarnation by a plain read; nothing is decided by it here."""
    query = sa.select(EPOCHS.c.registration, EPOCHS.c.epoch, EPOCHS.c.life)
    row = connection.execute(query).one_or_none()
    if row is None:
        return show_incarnation(None, lane_store.FIRST_EPOCH, None)
    return show_incarnation(row.registration, int(row.epoch), row.life)


def advance_turn(
    connection: sa.Connection, witness: str, *, latest: bool = False
) -> dict[str, int]:
    """Advance the turn of a witness; locks its row until the transaction ends.

    Each counts for itself. If all shared one turn, a host could advance a database that was
    restored past what another host remembers, before that one looks at it again.

    Args:
        connection: of the transaction.
        witness: the id of the witness.
        latest: read those of all as currently committed, and lock them.

    Returns:
        The turns of all witnesses; its own is 1 where this database did not know it.
    """
    # One statement: on MariaDB a look at a missing row would lock a gap, against the other's.
    count = insert_or_update(connection, WITNESSES, lambda _new: {"turn": WITNESSES.c.turn + 1})
    connection.execute(count.values(id=witness, turn=1))
    query = sa.select(WITNESSES.c.id, WITNESSES.c.turn)
    rows = connection.execute(query.with_for_update(read=True) if latest else query)
    turns = {row.id: int(row.turn) for row in rows}
    if turns[witness] == 1 and PRUNED in turns:
        # Its row may have been pruned: its turn is ahead of what anybody remembers of it.
        turns[witness] = turns[PRUNED] + 1
        own = sa.update(WITNESSES).where(WITNESSES.c.id == witness)
        connection.execute(own.values(turn=turns[witness]))
    return turns


def prune(connection: sa.Connection, idle: Mapping[str, int]) -> None:
    """Delete the rows of witnesses that have not advanced, so that they do not grow without end.

    Of what is deleted the greatest turn is kept, in the row `PRUNED`: a database of before misses
    that, and a witness that comes back begins above it. So nothing looks older than it is, and a
    database of before the pruning does not look new to whoever has seen it.

    Args:
        connection: of the transaction.
        idle: witness to its turn; one that has another turn by now stays.
    """
    if not idle:
        return
    turn = WITNESSES.c.turn
    keep = insert_or_update(
        connection,
        WITNESSES,
        lambda new: {"turn": sa.case((new.turn > turn, new.turn), else_=turn)},
    )
    connection.execute(keep.values(id=PRUNED, turn=max(idle.values())))
    for one, last in sorted(idle.items()):
        connection.execute(sa.delete(WITNESSES).where(WITNESSES.c.id == one, turn == last))


def begin(connection: sa.Connection, reason: str, *, above: int = 0) -> Epoch:
    """Begin a new epoch, because this database does not know everything that was allocated.

    Args:
        connection: of the transaction.
        reason: what reveals that, for people.
        above: the greatest epoch of this tier that any peer has seen.

    Raises:
        Inconsistent: this tier cannot have had such an epoch; nothing is changed. A lane that is
            numbered so high would be refused by every honest peer.
    """
    own = read(connection)
    if not number.is_plausible(number.make(above), number.make(own.epoch)):
        raise errors.Inconsistent(f"this tier is of epoch {own.epoch}: it never was of {above}")
    new = max(own.epoch, above, own.replaced_by) + 1
    if new >= 1 << number.EPOCH_BITS:
        raise errors.Inconsistent(f"epoch {new} cannot be: nobody restores a database that often")
    connection.execute(
        sa.update(EPOCHS).values(
            epoch=new,
            life=_new_life(),
            recovered=False,
            reason=reason,
            replaced_by=0,
            behind=Behind.NOT_KNOWN,
        )
    )
    if own.registration is None:  # a site keeps no events
        told = Event(what=What.CENTRAL_RESTORED, who="central", details=f"epoch {new}: {reason}")
        event.record(connection, told)
    # At central; a site has neither table filled. Registrations are locked before lanes.
    connection.execute(sa.delete(REGISTRATIONS).where(REGISTRATIONS.c.site.not_in(_site_names())))
    connection.execute(sa.update(REGISTRATIONS).values(waits=True, named_ports=False, again=0))
    lane_store.begin_epoch(connection, new)
    connection.execute(sa.delete(NAMED_PORTS))
    connection.execute(sa.delete(NAMED_NUMBERS))
    connection.execute(sa.delete(NAMED_LEASES))
    home.begin_stale(connection, _site_names())
    known = sa.select(REGISTRATIONS.c.site)
    connection.execute(
        sa.insert(REGISTRATIONS).from_select(
            ["site", "registration", "epoch", "waits"],
            sa.select(SITES.c.name, SITES.c.id, sa.literal(0), sa.true()).where(
                SITES.c.name.not_in(known)
            ),
        )
    )
    return read(connection)


def stand_down(connection: sa.Connection, by: int, reason: str) -> None:
    """Allocate nothing, at a site, until an operator says that this is the right database.

    Args:
        connection: of the transaction.
        by: the epoch of the other database that central accepts as this site.
        reason: shown to people.
    """
    connection.execute(
        sa.update(EPOCHS).values(recovered=False, reason=reason, replaced_by=max(1, by))
    )


def check_tables(connection: sa.Connection) -> None:
    """Check that this is the database of a tier.

    Raises:
        Invalid: it has no tables of ours.
    """
    if not sa.inspect(connection).has_table(EPOCHS.name):
        raise errors.Invalid(
            "this database has no tables of Isthmus: is it that of the tier's Neutron?"
        )


def recover(connection: sa.Connection) -> None:
    """Record that numbers may be allocated again."""
    connection.execute(sa.update(EPOCHS).values(recovered=True, reason=None))


def follow(connection: sa.Connection, behind: Behind) -> None:
    """Record, at a site, how far it has heard of the ports of other sites."""
    connection.execute(sa.update(EPOCHS).values(behind=behind))


def explain(connection: sa.Connection, reason: str) -> None:
    """Record what a tier that has not recovered waits for."""
    connection.execute(
        sa.update(EPOCHS).where(EPOCHS.c.recovered.is_(sa.false())).values(reason=reason)
    )


def join(
    connection: sa.Connection, registration: str, heard: int, proof: str, *, epoch: int
) -> None:
    """Record, at a site, its registration at central, and the proof of what central has sent.

    Of several answers the newest counts, in whichever order they come: another process may have
    asked later, and been answered sooner.

    Args:
        connection: of the transaction.
        registration: the id of the site's row at central.
        heard: the newest number that central has sent.
        proof: of that number.
        epoch: that in which the site asked; what was void then, or lost, has been dealt with.
    """
    before = read(connection)
    connection.execute(sa.update(EPOCHS).values(registered=epoch))
    if before.registration == registration and _is_older(heard, before.heard):
        return
    connection.execute(
        sa.update(EPOCHS).values(registration=registration, heard=heard, proof=proof)
    )
    # Central, asked just now, cannot have sent a number above that; and where it was created anew,
    # or created this site anew, numbering begins again.
    anew = before.registration not in (None, registration)
    lane_store.begin_again(connection, above=None if anew else heard)


def _is_older(heard: int, before: int) -> bool:
    """Return whether an answer is older than one before, if central can have sent the latter."""
    return heard < before and number.is_plausible(before, heard)


def require_recovered(connection: sa.Connection, *, for_central: bool = False) -> None:
    """Refuse to allocate a number before the tier has recovered.

    It locks nothing, so that it can be called before or after a pool's lock and no allocation waits
    for another one, or for a transaction that begins an epoch. A transaction that began before its
    tier found out that it was restored may still pass: it counts as one that came before. What it
    allocates comes from leases that it reads as currently committed, so it takes nothing that has
    been registered meanwhile.

    Args:
        connection: of the transaction.
        for_central: whether it is for a port that central sent. A site that has registered waits
            for just that: it knows which numbers its ports at central have, and which are void.

    Raises:
        Busy: it has not; the message says what it waits for.
    """
    row = connection.execute(
        sa.select(EPOCHS.c.recovered, EPOCHS.c.reason, EPOCHS.c.epoch, EPOCHS.c.registered).where(
            EPOCHS.c.id == _OWN
        )
    ).one_or_none()
    if row is None or row.recovered or (for_central and row.registered == row.epoch):
        return
    waiting = list_waiting(connection)
    what = f"; waits for sites {', '.join(waiting[:_NAMED])} to register" if waiting else ""
    if len(waiting) > _NAMED:
        what += f" and {len(waiting) - _NAMED} more"
    raise errors.Busy(f"no address or key is allocated now: {row.reason}{what}")


def is_recovered(connection: sa.Connection) -> bool:
    """Return whether the tier has recovered, by a plain read."""
    own = peek(connection)
    return own is None or own.recovered


def list_waiting(connection: sa.Connection) -> list[SiteName]:
    """List the sites that central waits for."""
    query = sa.select(REGISTRATIONS.c.site).where(REGISTRATIONS.c.waits.is_(sa.true()))
    return [SiteName(name) for name in connection.scalars(query.order_by(REGISTRATIONS.c.site))]


def prove(secret: str, site: SiteName, registration: str, sent: int) -> str:
    """Return a proof that this tier has sent a number; nobody else can compute it.

    Args:
        secret: of this tier's database.
        site: the receiving site.
        registration: which of those that had this name; each one's lane is numbered anew.
        sent: the number.
    """
    said = f"{site}/{registration}:{sent}"
    return hmac.new(secret.encode(), said.encode(), hashlib.sha256).hexdigest()


def is_proven(secret: str, site: SiteName, registration: str, sent: int, proof: str) -> bool:
    """Return whether a proof is this tier's.

    Args:
        secret: of this tier's database.
        site: the site that shows it.
        registration: its registration.
        sent: the number that is to be proven.
        proof: the proof.
    """
    # As bytes: of str, compare_digest accepts ASCII alone, and a hostile site may send anything.
    said = proof.encode(errors="replace")
    return hmac.compare_digest(prove(secret, site, registration, sent).encode(), said)


def _site_names() -> "sa.Select[tuple[str]]":
    return sa.select(SITES.c.name)
