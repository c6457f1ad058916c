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

import ipaddress
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from neutron_lib import constants
from oslo_log import log as logging

from isthmus import errors
from isthmus.clients.http.central import CentralClient
from isthmus.model import number
from isthmus.model.intent import IntentKey
from isthmus.model.lease import PoolKind
from isthmus.model.resource import ResourceType
from isthmus.model.site import CENTRAL, SiteName
from isthmus.neutron.db.witness import Witness
from isthmus.store.delivery import journal
from isthmus.store.delivery import lane as lane_store
from isthmus.store.leases import lease, resting
from isthmus.store.local import lease as site_lease
from isthmus.store.local.known import list_known
from isthmus.store.ports import datapath, port_key, shadow
from isthmus.store.sql.engine import reading, writing
from isthmus.store.tiers import epoch, mapping

LOG = logging.getLogger(__name__)

#: Neutron's.
_PORTS = sa.table(
    "ports",
    *(sa.column(one) for one in ("id", "network_id", "device_owner", "device_id")),
)
_ADDRESSES = sa.table(
    "ipallocations", sa.column("port_id"), sa.column("subnet_id"), sa.column("ip_address")
)
#: How often a site that has not settled tries again, in seconds.
_AGAIN_S = 1.0
#: Longest reason that is kept, in characters: what central said may be long.
_MOST_REASON = 500
_ADDRESS = PoolKind.SUBNET


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
        """
        self._site = site
        self._client = client
        self._engine = engine
        self._witness = Witness(folder, site)
        self._every_s = every_s
        self._when_greeted = when_greeted
        self._list_strays = list_strays
        self._list_stray_ports = list_stray_ports
        self._greeted = False
        self._hurry = threading.Event()
        self._stopping = False
        self._thread: threading.Thread | None = None

    @property
    def greeted(self) -> bool:
        """Return whether central has accepted a hello of this process, and accepts its database.

        Nothing is reported before: batches are counted, and a database that is older than what it
        reported would soon look as new as that.
        """
        return self._greeted

    def hurry(self) -> None:
        """Say hello at once: central may have seen more than this database has sent."""
        self._hurry.set()

    def start(self) -> None:
        """Compare the witness, then start the thread of this process."""
        self.compare_witness()
        self._thread = threading.Thread(target=self._run, name="isthmus-registrar", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Stop the thread."""
        self._stopping = True
        self._hurry.set()
        if self._thread is not None:
            self._thread.join()
            self._thread = None

    def _run(self) -> None:
        while not self._stopping:
            at_rest = False
            try:
                at_rest = self._attempt()
            except Exception:  # the boundary of a worker loop
                LOG.exception("The registrar failed and continues")
            self._hurry.wait(self._every_s if at_rest else min(_AGAIN_S, self._every_s))
            self._hurry.clear()

    def _attempt(self) -> bool:
        """Take a turn; return whether there is nothing more to do for now."""
        try:
            return self.turn()
        except errors.IsthmusError as error:
            if isinstance(error, errors.Transient):
                LOG.debug("The hello is retried: %s", error.message)
            else:
                LOG.warning("Central does not register this site: %s", error.message)
            self._explain(error.message)
            return False

    def _explain(self, why: str) -> None:
        """Record why a site that has not settled does not yet; its answers and `status` say so."""
        with reading(self._engine()) as connection:
            own = epoch.peek(connection)
        if own is None or own.settled or own.replaced_by:
            return
        reason = f"{_cause(own.reason)}; {why}"[:_MOST_REASON]
        if own.reason == reason:
            return
        with writing(self._engine()) as connection:
            if _is_same(epoch.read(connection), own):
                epoch.explain(connection, reason)

    def turn(self) -> bool:
        """Say hello, and register if necessary.

        Returns:
            Whether there is nothing more to do for now: the site has settled, or stands down.

        Raises:
            IsthmusError: central did not answer, or refused.
        """
        own = self.compare_witness()
        answer = self._say(own, leases=False)
        found = self._compare(own, answer)
        if found is not None:
            own = found
            self._witness.remember(own)
        if own.replaced_by:
            self._greeted = False
            return True
        if answer["register"] or not own.settled:
            answer = self._say(own, leases=True, numbers=bool(answer.get("name_numbers")))
            if answer["restored"] or answer["register"]:
                return False
        return self._apply_answer(own, answer)

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
                named = [
                    {
                        "id": one.id,
                        "kind": one.kind.value,
                        "pool_id": one.pool_id,
                        "first": str(one.block.first),
                        "last": str(one.block.last),
                        "origin": one.origin,
                    }
                    for one in lease.list_leases(connection)
                ]
                datapaths = datapath.list_all_keys(connection)
                ports = _list_ports(connection) if own.settled else None
                if numbers and not own.settled:  # both were restored: nobody else knows of them
                    shadows = [(str(self._site), *one) for one in self._list_stray_ports()]
                elif numbers and ports is not None:  # central was restored, and this site was not
                    addresses = _list_addresses(connection, ports)
                    shadows = shadow.list_numbers(connection)
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
            }
        )

    def _apply_answer(self, own: epoch.Epoch, answer: Mapping[str, Any]) -> bool:
        """Apply central's answer, unless it was given to an earlier incarnation of this site."""
        void = [str(one) for one in answer["void"]]
        strays = [] if own.settled or answer["pending"] else self._list_strays()
        if strays:
            ports = sorted({str(one["port_id"]) for one in strays})
            LOG.warning(
                "OVN has ports that the restored database does not: what they have is set aside "
                "until their rows are gone: %s",
                ", ".join(ports),
            )
        with writing(self._engine()) as connection:
            if not _is_same(epoch.read(connection), own):
                return False
            site_lease.remove(connection, void)
            site_lease.add(connection, self._site, answer["leases"])
            for one in sorted(answer["port_keys"], key=lambda one: str(one["network_id"])):
                port_key.lock_network(connection, str(one["network_id"]))
                port_key.restore(
                    connection, str(one["port_id"]), str(one["network_id"]), int(one["port_key"])
                )
            epoch.join(
                connection,
                str(answer["registration"]),
                int(answer["heard"]),
                str(answer["proof"]),
                epoch=own.epoch,
            )
            _set_aside(connection, answer["aside"])
            if answer["leases"] or void:
                _tell_of_ports(connection)
            settles = not (own.settled or answer["pending"])
            if settles:
                _set_aside(connection, strays)
                epoch.settle(connection)
            elif not own.settled:
                epoch.explain(connection, f"{_cause(own.reason)}; {_say_what_is_due(answer)}")
        if void:
            LOG.warning("Leases of this site are void, others hold them now: %s", ", ".join(void))
        if settles:
            LOG.info("This site has settled in epoch %d", own.epoch)
        if not self._greeted:
            self._greeted = True
            self._when_greeted()
        return settles or own.settled

    def compare_witness(self) -> epoch.Epoch:
        """Compare the database with the witness, and update the witness.

        Done at start, at each hello and before each report, so that a restored backup which lacks
        what central was told never counts as the newest state of the site, not even until the first
        hello.
        """
        with writing(self._engine()) as connection:
            own = self._witness.compare(connection)
        self._witness.remember(own)
        return own


def _is_same(now: epoch.Epoch, own: epoch.Epoch) -> bool:
    """Return whether the site is the incarnation that asked, or another process was faster."""
    said = (own.epoch, own.life, own.replaced_by)
    return (now.epoch, now.life, now.replaced_by) == said


def _say_what_is_due(answer: Mapping[str, Any]) -> str:
    """Say what a site waits for that has registered and may not settle yet."""
    if not answer.get("settled", True):
        return "waits until central, which was restored too, has heard of all its sites"
    return f"waits for {answer['pending']} ports that central knows and has yet to send"


def _cause(reason: str) -> str:
    return reason.partition(";")[0]


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


def _list_ports(connection: sa.Connection) -> list[str]:
    """List the ports on central's networks; each of them has its home here, or should have."""
    query = (
        sa.select(_PORTS.c.id)
        .where(
            _PORTS.c.network_id.in_(datapath.select_networks()),
            _PORTS.c.device_owner != constants.DEVICE_OWNER_DISTRIBUTED,
            _PORTS.c.device_id.not_in(mapping.select_ids(ResourceType.ROUTER)),
        )
        .order_by(_PORTS.c.id)
    )
    return list(connection.scalars(query))


def _list_addresses(
    connection: sa.Connection, ports: Sequence[str]
) -> dict[str, list[tuple[int, str]]]:
    """List the addresses of ports by subnet: the index of the port in the list, and the number."""
    places = {port_id: place for place, port_id in enumerate(ports)}
    found: dict[str, list[tuple[int, str]]] = {}
    query = (
        sa.select(_ADDRESSES)
        .join(_PORTS, _PORTS.c.id == _ADDRESSES.c.port_id)
        .where(_PORTS.c.network_id.in_(datapath.select_networks()))
        .order_by(_ADDRESSES.c.subnet_id, _ADDRESSES.c.ip_address)
    )
    for row in connection.execute(query):
        if row.port_id in places:
            number = int(ipaddress.ip_address(row.ip_address))
            found.setdefault(row.subnet_id, []).append((places[row.port_id], str(number)))
    return found


def _tell_of_ports(connection: sa.Connection) -> None:
    """Record every port with a key for central, so that central learns again what it has lost."""
    interfaces_of_central = sa.and_(
        _PORTS.c.device_id.in_(mapping.select_ids(ResourceType.ROUTER)),
        _PORTS.c.device_owner != constants.DEVICE_OWNER_ROUTER_GW,
    )
    interfaces = set(connection.scalars(sa.select(_PORTS.c.id).where(interfaces_of_central)))
    holders = port_key.list_keys(connection).keys() - interfaces
    journal.record(connection, [IntentKey(CENTRAL, ResourceType.PORT, one) for one in holders])
