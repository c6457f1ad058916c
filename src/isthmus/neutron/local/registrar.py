"""The registrar: says hello to central, and registers where one of the two lost data.

A thread in each API process. Beside the database it keeps a witness, a small file in the state
directory of this host, which reveals that a database was restored from a backup even while central
is unreachable. Such a site allocates no address and no key before it has registered: then it has
stopped using what belongs to others by now, and has got back what it lost. A site that is cut off
and was not restored continues to allocate.

Two databases may claim to be one site, where a copy runs beside the original. Central accepts the
one that registered last. A process whose hello central has accepted before, on a database that has
not gone back since, was not restored when central accepts another one: it stands down, and
allocates nothing until an operator has decided. Otherwise each would replace the other for ever.
"""

import threading
from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from oslo_log import log as logging

from isthmus import errors
from isthmus.clients.http.central import CentralClient
from isthmus.model import number
from isthmus.model.site import CENTRAL, SiteName
from isthmus.neutron.db.witness import find as find_witness
from isthmus.neutron.local import answered, naming
from isthmus.neutron.local.lease.giving import read_seen
from isthmus.store.delivery import lane as lane_store
from isthmus.store.local import lease as site_lease
from isthmus.store.local.known import list_known
from isthmus.store.ports import datapath, shadow
from isthmus.store.sql.engine import reading, writing
from isthmus.store.tiers import epoch

LOG = logging.getLogger(__name__)

#: How often a site that has not recovered tries again, in seconds.
_AGAIN_S = 1.0
#: And how often that time is doubled where central refuses.
_MOST_DOUBLED = 10
#: How long a call that central did not accept waits for the registration, in seconds.
_RENEW_S = 3.0
#: How long `stop` waits for the thread, in seconds.
_STOP_S = 15.0
#: Longest reason that is kept, in characters: what central said may be long.
_MOST_REASON = 500


class Registrar:
    """Registers this site."""

    def __init__(
        self,
        site: SiteName,
        client: Callable[[], CentralClient],
        engine: Callable[[], sa.Engine],
        *,
        folder: Path,
        every_s: float,
        when_greeted: Callable[[], object] = lambda: None,
        list_strays: Callable[[], Sequence[Mapping[str, str]]] = lambda: (),
        list_stray_ports: Callable[[], Sequence[tuple[str, str, int, list[str]]]] = lambda: (),
        list_switch_keys: Callable[[Collection[str]], Mapping[str, int]] = lambda _: {},
    ) -> None:
        """Initialise; nothing runs before `start`.

        Args:
            site: this site.
            client: returns the client for central.
            engine: returns the site's database.
            folder: where the witness is kept, beside the database and not in its backups.
            every_s: seconds between two hellos.
            when_greeted: called when central has first accepted a hello of this process.
            list_strays: lists numbers of ports that OVN has and the database does not, in the form
                in which central names numbers to set aside.
            list_stray_ports: lists these ports themselves: id, network, key and addresses.
            list_switch_keys: lists the tunnel keys that OVN has for networks.
        """
        self._site = site
        self._client = client
        self._engine = engine
        self._witness = find_witness(folder, site)
        self._every_s = every_s
        self._when_greeted = when_greeted
        self._list_strays = list_strays
        self._list_stray_ports = list_stray_ports
        self._list_switch_keys = list_switch_keys
        self._greeted = False
        self._hurry = threading.Event()
        self._turned = threading.Condition()
        self._turns = 0  # how many have come to an end, whatever came of them
        self._in_vain = -1  # after how many of them somebody has waited for the next one in vain
        self._failed = True  # whether central has not accepted the hello of the newest one
        self._accepted = False  # whether it has accepted that of the last one that came to an end
        self._stopped = threading.Event()
        self._refused = 0
        self._thread: threading.Thread | None = None

    @property
    def greeted(self) -> bool:
        """Return whether central has accepted a hello of this process, and accepts its database.

        Nothing is reported before: batches are counted, and a database that is older than what it
        reported would soon look as new as that.
        """
        return self._greeted

    def hurry(self) -> None:
        """Send a hello at once: central may have seen more than this database has sent."""
        self._hurry.set()

    def renew(self, *, wait: bool) -> bool:
        """Send a hello at once; return whether central accepted it, and a call may be sent again.

        For a call that central does not accept before the site has registered. Its registration is
        often on its way: central has recorded it, and its answer has yet to come. Where central
        refuses the site, or the turn that others waited for is still under way, nobody waits.

        Args:
            wait: whether to wait for that, for some seconds.
        """
        with self._turned:
            before = self._turns
            self._hurry.set()
            if not wait or self._refused or self._in_vain == before:
                return False
            if self._turned.wait_for(lambda: self._turns > before, _RENEW_S):
                return self._accepted
            self._in_vain = before
            return False

    def start(self) -> None:
        """Compare the witness, then start the thread of this process.

        Where the database cannot be asked, or the file is of another one, the thread goes on
        trying: nothing is said to central before.
        """
        try:
            self.compare_witness()
        except errors.IsthmusError as error:
            LOG.warning("The witness is compared again: %s", error.message)
        self._thread = threading.Thread(target=self._run, name="isthmus-registrar", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Stop the thread."""
        self._stopped.set()
        self._hurry.set()
        if self._thread is not None:
            self._thread.join(_STOP_S)  # central may take long over a registration
            self._thread = None

    def _run(self) -> None:
        while not self._stopped.is_set():
            at_rest = False
            try:
                at_rest = self._attempt()
            except Exception:  # the boundary of a worker loop
                LOG.exception("The registrar failed and continues")
            with self._turned:
                self._turns += 1
                self._accepted = not self._failed
                self._turned.notify_all()
            # What is refused will be again: each time it is tried half as soon.
            again_s = _AGAIN_S * 2 ** min(self._refused, _MOST_DOUBLED)
            if at_rest:
                self._hurry.wait(self._every_s)
            else:  # whoever hurries it meanwhile: each call that central does not answer does
                self._stopped.wait(min(again_s, self._every_s))
            self._hurry.clear()

    def _attempt(self) -> bool:
        """Run one turn; return whether there is nothing more to do for now."""
        refused, self._refused = self._refused, 0
        self._failed = True
        try:
            at_rest = self.turn()
            self._failed = not self._greeted
            return at_rest
        except errors.IsthmusError as error:
            if isinstance(error, errors.Refused | errors.Inconsistent):
                self._refused = refused + 1
            if isinstance(error, errors.Transient):
                LOG.debug("The hello is retried: %s", error.message)
            elif isinstance(error, errors.Inconsistent):  # the witness is of another database
                LOG.warning("This site says nothing to central: %s", error.message)
            else:
                LOG.warning("Central does not register this site: %s", error.message)
            try:
                self._explain(error.message)
            except errors.Transient as away:  # perhaps that is the very reason
                LOG.debug("Why this site waits is recorded later: %s", away.message)
            return False

    def _explain(self, why: str) -> None:
        """Record why a site has not recovered yet; its answers and `status` say so."""
        with reading(self._engine()) as connection:
            own = epoch.peek(connection)
        if own is None or own.recovered or own.replaced_by:
            return
        reason = f"{answered.cause(own.reason)}; {why}"[:_MOST_REASON]
        if own.reason == reason:
            return
        with writing(self._engine()) as connection:
            if _is_same(epoch.read(connection), own):
                epoch.explain(connection, reason)

    def turn(self) -> bool:
        """Send a hello, and register if necessary.

        Returns:
            Whether there is nothing more to do for now: the site has recovered, or stands down.

        Raises:
            IsthmusError: central did not answer, or refused.
        """
        own = self.compare_witness()
        seen = read_seen(self._engine())
        answer = self._say(own, leases=False)
        found = self._compare(own, answer)
        if found is not None:
            own = found
            self.compare_witness()
        if own.replaced_by:
            self._greeted = False
            return True
        if answer["register"] or _has_to_register(own, answer):
            seen = read_seen(self._engine())
            answer = self._say(own, leases=True, numbers=bool(answer.get("name_numbers")))
            if answer["restored"] or answer["register"]:
                return False
        return self._apply_answer(own, answer, seen)

    def _compare(self, said: epoch.Epoch, answer: Mapping[str, Any]) -> epoch.Epoch | None:
        """Begin a new epoch, or stand down, if central knows more of this site than its database.

        The database is read after the answer: numbers are counted before they are sent, so a
        healthy one is never behind what central has seen, whatever the relay or another process did
        meanwhile.

        Returns:
            The new epoch, or that which stands down; None where nothing changed.
        """
        with writing(self._engine()) as connection:
            own = epoch.read(connection)
            if own.replaced_by:
                return own
            sent, _ = lane_store.peek(connection, CENTRAL)
            replaced = answer["restored"] and (own.epoch, own.life) == (said.epoch, said.life)
            if not replaced and int(answer["seen"]) <= sent:
                return None
            if replaced and self._greeted:
                reason = (
                    f"central hears another database as this site, in epoch {answer['epoch']}: a "
                    "copy of this one runs, or another site says that it is this one. Stop "
                    "whichever is wrong; if this one is right, run `isthmus restored` here"
                )
                epoch.stand_down(connection, int(answer["epoch"]), reason)
                LOG.error("This site stands down: %s", reason)
                return epoch.read(connection)
            reason = "central has seen more of this site than its database knows: it was restored"
            above = max(int(answer["epoch"]), number.epoch_of(int(answer["seen"])))
            own = epoch.begin(connection, reason, above=above)
        LOG.warning("%s; epoch %d begins", own.reason, own.epoch)
        return own

    def _say(self, own: epoch.Epoch, *, leases: bool, numbers: bool = False) -> Mapping[str, Any]:
        with reading(self._engine()) as connection:
            named = datapaths = ports = addresses = shadows = holdings = None
            if leases:
                named = naming.list_leases(connection)
                datapaths = datapath.list_all_keys(connection)
                ports = naming.list_ports(connection) if own.recovered else None
                if numbers and not own.recovered:  # both were restored: nobody else knows of them
                    shadows = [(str(self._site), *one) for one in self._list_stray_ports()]
                    at = {network_id for _, _, network_id, *_ in shadows}
                    datapaths = {**self._list_switch_keys(at), **datapaths}
                elif numbers and ports is not None:  # central was restored, and this site was not
                    addresses = naming.list_addresses(connection, ports)
                    # One that was restored itself, lately, knows no better than central.
                    is_new = own.behind is epoch.Behind.NOT
                    shadows = shadow.list_numbers(connection) if is_new else []
                restored = number.epoch_of(own.heard) > lane_store.FIRST_EPOCH  # central was, once
                known = list_known(connection, but_unreported=restored)
                holdings = {kind.value: ids for kind, ids in known.items()}
        return self._client().register(
            {
                "registration": own.registration,
                "epoch": own.epoch,
                "life": own.life,
                "heard": own.heard,
                "proof": own.proof,
                "leases": named,
                "datapaths": datapaths,
                "ports": ports,
                "addresses": addresses,
                "shadows": shadows,
                "holdings": holdings,
                # Before it has registered central has noted nothing of what it lacks.
                "behind": own.behind if leases or own.registered == own.epoch else 0,
            }
        )

    def _apply_answer(self, own: epoch.Epoch, answer: Mapping[str, Any], seen: int) -> bool:
        """Apply central's answer, unless it was given to an earlier incarnation of this site."""
        leases = self._leave_overtaken(answer["leases"], seen)
        void = [str(one) for one in answer["void"]]
        strays = [] if own.recovered or answer["pending"] else self._list_strays()
        if strays:
            ports = sorted({str(one["port_id"]) for one in strays})
            LOG.warning(
                "OVN has ports that the restored database does not: what they have is set aside "
                "until their rows are gone: %s",
                ", ".join(ports),
            )
        behind = answered.read_behind(answer)
        if not own.recovered or behind is not own.behind:
            # It may recover now, or believe its tables: by what central said to one of before?
            self.compare_witness()
        with writing(self._engine()) as connection:
            if not _is_same(epoch.read(connection), own):
                return False
            recovers = answered.apply(
                connection, own, answer, site=self._site, leases=leases, seen=seen, strays=strays
            )
        if void:
            LOG.warning("Leases of this site are void, others hold them now: %s", ", ".join(void))
        if recovers:
            LOG.info("This site has recovered in epoch %d", own.epoch)
        if not self._greeted:
            self._greeted = True
            self._when_greeted()
        # Only what central is about to send is over soon.
        return (recovers or own.recovered) and behind is not epoch.Behind.NOT_SENT

    def _leave_overtaken(
        self, states: Sequence[Mapping[str, Any]], seen: int
    ) -> Sequence[Mapping[str, Any]]:
        """Leave out leases with which a batch has dealt since central was asked.

        The keeper asks for them again; if the whole answer were refused, a busy lane would keep a
        large site from ever registering.
        """
        with reading(self._engine()) as connection:
            concerned = site_lease.list_concerned(states)
            late = lane_store.find_overtaken(connection, CENTRAL, seen, concerned)
        return [one for one in states if late.isdisjoint(site_lease.list_concerned([one]))]

    def compare_witness(self) -> epoch.Epoch:
        """Compare the database with the witness, and advance both.

        Done at start, at each hello and before each report (and by the plugin, with the same
        witness, before leases are returned and batches answered), so that a restored backup which
        lacks what central was told never counts as the newest state of the site.
        """
        return self._witness.advance(lambda: writing(self._engine())).own


def _is_same(now: epoch.Epoch, own: epoch.Epoch) -> bool:
    """Return whether the site is the incarnation that asked, or another process was faster."""
    said = (own.epoch, own.life, own.replaced_by)
    return (now.epoch, now.life, now.replaced_by) == said


def _has_to_register(own: epoch.Epoch, answer: Mapping[str, Any]) -> bool:
    """Tell whether a site registers although central knows it: it has yet to recover.

    Once in its epoch, and again when central has sent all that was due: what could not be delivered
    meanwhile it has to set aside. In between a hello says how much is left, and each registration
    names, answers and reports everything that the site has.
    """
    return not own.recovered and (own.registered != own.epoch or not answer.get("pending"))
