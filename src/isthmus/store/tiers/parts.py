"""Parts of registrations that are too long for one call, kept until their site registers with them.

What a site names is one text, which it cuts up; the digest of the whole says which parts belong
together. So a part that comes twice is there once, parts of two processes of a site do not mix, and
a text that lacks one is not taken. A site's oldest texts give way to newer ones: which is older is
counted, so that no clock says it.
"""

import hashlib

import sqlalchemy as sa

from isthmus import errors
from isthmus.model.site import SiteName
from isthmus.store.sql.tables import REGISTRATION_PARTS
from isthmus.store.sql.upsert import insert_or_update

#: Longest text of a part, in characters; they are ASCII.
MOST_TEXT = 1 << 20
#: Most parts of one registration: twice what it takes to name as many leases, ports and shadows as
#: it may, with two addresses each, and all that the site has.
MOST_PARTS = 128
#: Most parts that are kept of a site: of its registration, and of that of another of its processes.
MOST_KEPT = 2 * MOST_PARTS


def keep(connection: sa.Connection, site: SiteName, digest: str, number: int, text: str) -> None:
    """Keep a part; older texts of the site go where there would be too many.

    Args:
        connection: of the transaction.
        site: the site.
        digest: of the whole text.
        number: which part of it, from 0.
        text: the part.
    """
    newest = sa.func.max(REGISTRATION_PARTS.c.turn)
    query = sa.select(
        REGISTRATION_PARTS.c.digest, sa.func.count().label("parts"), newest.label("turn")
    )
    kept = connection.execute(
        query.where(REGISTRATION_PARTS.c.site == site).group_by(REGISTRATION_PARTS.c.digest)
    ).all()
    count = sum(row.parts for row in kept)
    for row in sorted(kept, key=lambda row: (row.turn, row.digest)):
        if count >= MOST_KEPT and row.digest != digest:
            _delete(connection, site, row.digest)
            count -= row.parts
    connection.execute(
        insert_or_update(
            connection, REGISTRATION_PARTS, lambda new: {"turn": new.turn, "text": new.text}
        ).values(
            site=site,
            digest=digest,
            number=number,
            turn=max((row.turn for row in kept), default=0) + 1,
            text=text,
        )
    )


def read(connection: sa.Connection, site: SiteName, digest: str, count: int) -> str:
    """Return the whole text.

    Args:
        connection: of the transaction.
        site: the site that registers.
        digest: of the whole text.
        count: of how many parts it consists.

    Raises:
        Busy: a part is not there, or not the one that was meant; the site sends them again.
    """
    query = sa.select(REGISTRATION_PARTS.c.text).where(
        REGISTRATION_PARTS.c.site == site, REGISTRATION_PARTS.c.digest == digest
    )
    found = list(connection.scalars(query.order_by(REGISTRATION_PARTS.c.number)))
    text = "".join(found)
    if len(found) != count or digest_of(text) != digest:
        raise errors.Busy(f"of {count} parts of the registration of {site} {len(found)} are here")
    return text


def digest_of(text: str) -> str:
    """Return the digest of a text."""
    return hashlib.sha256(text.encode(errors="replace")).hexdigest()


def delete_site(connection: sa.Connection, site: SiteName) -> None:
    """Delete the parts of a site: it has registered, or is gone."""
    connection.execute(sa.delete(REGISTRATION_PARTS).where(REGISTRATION_PARTS.c.site == site))


def _delete(connection: sa.Connection, site: SiteName, digest: str) -> None:
    connection.execute(
        sa.delete(REGISTRATION_PARTS).where(
            REGISTRATION_PARTS.c.site == site, REGISTRATION_PARTS.c.digest == digest
        )
    )
