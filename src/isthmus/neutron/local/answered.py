"""What central's answer to a hello, or to a registration, changes in the tables of a site."""

from collections.abc import Mapping, Sequence
from typing import Any

import sqlalchemy as sa

from isthmus import errors
from isthmus.model.lease import PoolKind
from isthmus.model.site import SiteName
from isthmus.neutron.local import naming
from isthmus.store.leases import resting
from isthmus.store.local import lease as site_lease
from isthmus.store.ports import port_key
from isthmus.store.tiers import epoch

_ADDRESS = PoolKind.SUBNET


def apply(
    connection: sa.Connection,
    own: epoch.Epoch,
    answer: Mapping[str, Any],
    *,
    site: SiteName,
    leases: Sequence[Mapping[str, Any]],
    seen: int,
    strays: Sequence[Mapping[str, Any]],
) -> bool:
    """Apply an answer; return whether the site recovers by it.

    Args:
        connection: of the transaction; the site's epoch is locked.
        own: the epoch in which the site asked.
        answer: central's.
        site: this site.
        leases: those of the answer with which no batch has dealt since.
        seen: the newest batch that the site had taken when it asked.
        strays: numbers that OVN alone knows, to be set aside once the site recovers.

    Raises:
        Stale: a batch has dealt with one of the leases, or with its pool, meanwhile; ask again.
        ProtocolError: the answer is not what is promised.
    """
    void = [str(one) for one in answer["void"]]
    site_lease.remove(connection, void)
    added = site_lease.add(connection, site, leases)
    _restore_keys(connection, answer["port_keys"])
    _set_aside(connection, answer["aside"])
    if answer["leases"] or void:
        naming.tell_of_ports(connection)
    recovers = not (own.recovered or answer["pending"])
    if recovers:
        _set_aside(connection, strays)
    # The lane comes last, as where batches are carried out.
    site_lease.refuse_overtaken(connection, leases, added, seen=seen, write=True)
    epoch.join(
        connection,
        str(answer["registration"]),
        int(answer["heard"]),
        str(answer["proof"]),
        epoch=own.epoch,
    )
    if recovers:
        epoch.recover(connection)
    elif not own.recovered:
        epoch.explain(connection, f"{cause(own.reason)}; {_say_what_is_due(answer)}")
    behind = read_behind(answer)
    if behind is not own.behind:
        epoch.follow(connection, behind)
    return recovers


def read_behind(answer: Mapping[str, Any]) -> epoch.Behind:
    """Return how far this site has heard of the ports of others.

    Raises:
        ProtocolError: it answers what is not promised.
    """
    try:
        return epoch.Behind(int(answer.get("behind") or 0))
    except (OverflowError, TypeError, ValueError) as error:
        raise errors.ProtocolError("central does not say what it has yet to send") from error


def cause(reason: str) -> str:
    """Return why an epoch began, without what its tier waits for."""
    return reason.partition(";")[0]


def _say_what_is_due(answer: Mapping[str, Any]) -> str:
    """Describe what a site waits for that has registered and may not recover yet."""
    if not answer.get("recovered", True):
        return "waits until central, which was restored too, has heard of all its sites"
    return f"waits for {answer['pending']} ports that central knows and has yet to send"


def _restore_keys(connection: sa.Connection, said: Sequence[Mapping[str, Any]]) -> None:
    """Restore keys of ports that this site may have lost."""
    keys: dict[str, dict[str, int]] = {}
    for one in said:
        found = keys.setdefault(str(one["network_id"]), {})
        found[str(one["port_id"])] = int(one["port_key"])
    for network_id, found in sorted(keys.items()):
        port_key.lock_network(connection, network_id)
        port_key.restore(connection, network_id, found)


def _set_aside(connection: sa.Connection, said: Sequence[Mapping[str, Any]]) -> None:
    """Set numbers to rest that this site may have forgotten to have used."""
    found = [
        (PoolKind(one["kind"]), str(one["pool_id"]), int(one["number"]), str(one["port_id"]))
        for one in said
    ]
    resting.record(
        connection, [(pool, number, port) for kind, pool, number, port in found if kind is _ADDRESS]
    )
    for kind, network_id, key, port_id in found:
        if kind is not _ADDRESS and port_key.lock_network(connection, network_id):
            port_key.set_aside(connection, port_id, network_id, key)
