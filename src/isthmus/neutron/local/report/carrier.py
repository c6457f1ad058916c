"""Delivers the relay's items to central, and records what both tiers then agree on."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import sqlalchemy as sa

from isthmus import errors
from isthmus.clients.http.central import CentralClient
from isthmus.journal import crash
from isthmus.model import attribute, number
from isthmus.model.intent import IntentKey
from isthmus.model.item import Item, ItemResult
from isthmus.model.resource import ResourceType
from isthmus.model.site import SiteName
from isthmus.neutron.local import quota
from isthmus.neutron.local.resource import port as port_form
from isthmus.store.local import mapping
from isthmus.store.sql.engine import writing
from isthmus.store.tiers import epoch


class CentralCarrier:
    """`isthmus.journal.protocols.Carrier` towards central."""

    def __init__(
        self,
        site: SiteName,
        client: Callable[[], CentralClient],
        engine: Callable[[], sa.Engine],
        *,
        look: Callable[[], epoch.Epoch],
        when_overtaken: Callable[[], object],
    ) -> None:
        """Initialise.

        Args:
            site: this site.
            client: returns the client for central.
            engine: returns the site's database.
            look: advances the witness, and returns the site's epoch. A database that is restored
                from a backup is then behind it if central has received anything since.
            when_overtaken: called when central has seen a later batch than the one that was sent:
                this database may be an old one.
        """
        self._site = site
        self._client = client
        self._engine = engine
        self._look = look
        self._when_overtaken = when_overtaken

    def deliver(
        self, lane: SiteName, items: Sequence[Item], *, sequence: int
    ) -> Sequence[ItemResult]:
        """Report items.

        Raises:
            Unreachable, TimedOut: central did not answer.
            Busy: the database has gone back to a backup since the batch was read: what it says, or
                what central has answered, is of ports as the other database had them.
            IsthmusError: the whole batch was refused.
        """
        sender = self._look()
        if sender.epoch != number.epoch_of(sequence):
            raise errors.Busy("this site was restored meanwhile: what it reports is read again")
        results = self._client().send_reports(items, sequence=sequence)
        crash.point("report.taken")
        if any(one.seen is not None and one.seen > sequence for one in results):
            self._when_overtaken()
        by_key = {(result.type, result.id): result for result in results}
        with_state = [(one, by_key.get((one.type, one.id))) for one in items if one.state]
        agreed = [
            (item, result)
            for item, result in with_state
            if result is not None and (result.taken or result.attributes)
        ]
        if results:
            # A database that went back meanwhile has ports as they were: if their base were what
            # central has now, their old state would count as a change made since, and win there.
            _require_same(self._look(), sender)
            with writing(self._engine()) as connection:
                _require_same(epoch.peek(connection), sender)
                quota.keep(connection, results)
                for item, result in agreed:
                    assert item.state is not None
                    before = item.state[attribute.BASE]
                    mapping.agree(
                        connection,
                        item.id,
                        self._site,
                        project_id=item.state.get("project_id"),
                        before=before,
                        base=_agreed(item.state, before, result),
                    )
        return results


def _require_same(now: epoch.Epoch | None, sender: epoch.Epoch) -> None:
    """Refuse to record an answer in another incarnation of the database than that which asked.

    Raises:
        Busy: it is another one.
    """
    if now is None or (now.epoch, now.life) != (sender.epoch, sender.life):
        raise errors.Busy("this site was restored during a report: it is read and sent again")


def _agreed(
    state: Mapping[str, Any], before: Mapping[str, Any] | None, result: ItemResult
) -> dict[str, Any]:
    """Return what both tiers agree on after a report of which some attributes were refused.

    For those, the previously agreed value still holds, or at first what central has instead: the
    site's value counts as a change until it is accepted.
    """
    base = port_form.agreed(state)
    for name in result.attributes:
        base.pop(name, None)
        if before is not None and name in before:
            base[name] = before[name]
        elif name in result.kept:
            base[name] = result.kept[name]
    return base


def forget_reported(connection: sa.Connection, keys: Sequence[IntentKey]) -> None:
    """Delete what was agreed on of ports which central now knows to be deleted."""
    mapping.remove(
        connection,
        ResourceType.PORT,
        [key.id for key in keys if key.type is ResourceType.PORT],
    )
