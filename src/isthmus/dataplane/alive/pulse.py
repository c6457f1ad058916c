"""Whether a site's OVN lives: databases, northd, and each hypervisor.

The copy of a database in a process's memory says nothing of that: it stays as it was when the
database dies or hangs. So a question is written into NB every few seconds, `nb_cfg` greater by one,
as `ovn-nbctl --wait=hv` asks. NB's answer to the write shows that NB lives; northd writes the
number down in NB once it has carried into SB all that NB wanted; each ovn-controller writes it down
in SB once its Open vSwitch has taken all flows; and Neutron's agent on a hypervisor does so after
it, as does who asks Open vSwitch there (`isthmus/services/answer_switch.sh`).

Every API process does this, on connections of its own, and sees the questions of the others: who
sees a new one asks none. SB is written to only where an answer is missing, since northd's answer
shows that SB lives; and again where its own took long, so that one outage is not its word for ever.
"""

import logging
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Final

from typing_extensions import override

from isthmus import errors
from isthmus.dataplane.alive.answer import ANSWER_KEY
from isthmus.dataplane.alive.follower import Follower
from isthmus.dataplane.protocols import Database, Tables
from isthmus.dataplane.rows import OvnRows, is_remote
from isthmus.model.dataplane.ovn import AWAY_S, SHADOW_MARK, SWITCH, SWITCH_KEY

_LOG = logging.getLogger(__name__)

#: How often one looks while an answer is missing, in seconds.
_LOOK_S = 1.0
#: Who owes an answer so long has SB asked, and not more often: Neutron's agents wait some seconds.
_DOUBT_S = 5.0
#: external_ids key under which a question stands, another word each time: a greater number alone,
#: or a word that is there already, python-ovs would not write.
_MARK: Final = "isthmus:pulse"
#: Which of Open vSwitch's programs does not answer who asks them on their machine.
_SWITCH_SILENT: Final = f"{SWITCH_KEY}-silent"
#: The newest question of which that is said: who does not ask any more says nothing of now.
_SWITCH_ASKED: Final = f"{SWITCH_KEY}-asked"
#: Who else answers on a hypervisor: what they are called, and the keys in external_ids of
#: Chassis_Private that say that there is one, and which number it has written down.
_AGENTS: Final = {
    "metadata agent": ("neutron:ovn-metadata-id", "neutron:ovn-metadata-sb-cfg"),
    "OVN agent": ("neutron:ovn-neutron-agent-id", "neutron:ovn-neutron-agent-sb-cfg"),
    SWITCH: (SWITCH_KEY, SWITCH_KEY),
    _SWITCH_ASKED: (_SWITCH_ASKED, _SWITCH_ASKED),
}
#: More digits no number of a question has; whoever writes into SB may write anything.
_MOST_DIGITS = 18


@dataclass(slots=True)
class Ask:
    """Ask all of a site's OVN whether they live."""

    row_id: Any  #: uuid of the one row of NB_Global
    last: int  #: number of the last question; where there is a newer one by now, nobody asks
    is_written: bool = False  #: whether the database was sent anything, and so has to answer

    @override
    def __str__(self) -> str:
        return "write a number into the northbound database"

    def write(self, tables: Tables) -> None:
        """Write the question."""
        row = tables.find("NB_Global", self.row_id, "uuid")
        self.is_written = False
        if row is not None and int(row.nb_cfg) == self.last:
            self.is_written = True
            row.setkey("external_ids", _MARK, uuid.uuid4().hex)
            row.increment("nb_cfg")


@dataclass(slots=True)
class Touch:
    """Write a word into SB, to see that it takes one."""

    row_id: Any  #: uuid of the one row of SB_Global
    is_written: bool = False  #: whether the database was sent anything, and so has to answer

    @override
    def __str__(self) -> str:
        return "write a word into the southbound database"

    def write(self, tables: Tables) -> None:
        """Write the word."""
        row = tables.find("SB_Global", self.row_id, "uuid")
        self.is_written = row is not None
        if row is not None:
            row.setkey("external_ids", _MARK, uuid.uuid4().hex)


@dataclass(frozen=True, slots=True)
class Heard:
    """What a hypervisor of this site has written down."""

    name: str
    hostname: str
    reached: int
    agents: dict[str, int]
    silent: str  #: which of Open vSwitch's programs does not answer; "" where all do


def list_heard(rows: OvnRows) -> Iterator[Heard]:
    """List the hypervisors of this site; those of others have rows of ours here, and no daemon."""
    for row in rows.sb.rows("Chassis_Private"):
        chassis = row.chassis[0] if row.chassis else None
        if chassis is None or is_remote(chassis) or SHADOW_MARK in chassis.external_ids:
            continue
        agents = {
            what: _to_number(row.external_ids.get(reached, ""))
            for what, (there, reached) in _AGENTS.items()
            if row.external_ids.get(there)
        }
        silent = row.external_ids.get(_SWITCH_SILENT, "")
        yield Heard(row.name, chassis.hostname, int(row.nb_cfg), agents, silent)


def _to_number(text: str) -> int:
    is_one = text.isascii() and text.isdecimal() and len(text) <= _MOST_DIGITS
    return int(text) if is_one else 0


class _Beat:
    """Whether one database takes a write."""

    def __init__(self, now: float, lock: threading.Lock) -> None:
        self.follower = Follower(since=now)
        self.error = ""
        self._lock = lock

    def write(self, database: Database, command: Ask | Touch, clock: Callable[[], float]) -> None:
        """Write; where there was nothing to write, nobody was asked, and nobody has answered."""
        with self._lock:
            self.follower.ask(self.follower.reached + 1, clock())
        try:
            refused = database.commit([command])
        except Exception as error:  # noqa: BLE001  (whatever it is, the database did not answer)
            refused = [str(error) or type(error).__name__]
        if refused:
            self.error = refused[0].partition("\n")[0]
            _LOG.debug("%s", self.error)
        elif command.is_written:
            with self._lock:
                self.answered(clock())

    def begin(self, now: float) -> None:
        """Note that it is asked by being connected to."""
        with self._lock:
            self.follower.ask(self.follower.reached + 1, now)

    def answered(self, now: float) -> None:
        """Note that it lives; the lock is held."""
        self.error = ""
        self.follower.reach(self.follower.reached + 1, now)

    def to_dict(self, now: float) -> dict[str, Any]:
        return {**self.follower.to_dict(now), "error": self.error}


class Pulse:
    """Asks, in threads of its own, and tells who has answered; one a process."""

    def __init__(
        self,
        connect: Callable[[], OvnRows],
        every_s: float,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Prepare; nothing runs before `start`.

        Args:
            connect: opens the site's OVN databases; may wait for them.
            every_s: how often to ask, in seconds; 0: never.
            clock: gives seconds that only grow.
        """
        self._connect = connect
        self._rows: OvnRows | None = None
        self._every_s = every_s
        self._clock = clock
        self._lock = threading.Lock()
        self._stopping = threading.Event()
        self._doubted = threading.Event()
        now = clock()
        self._nb, self._sb = _Beat(now, self._lock), _Beat(now, self._lock)
        self._northd = Follower(since=now)
        self._maintenance: Follower | None = None  # None: no worker has ever answered here
        self._hosts: dict[str, Heard] = {}  # by name
        #: Of a hypervisor ("", name) and of each agent on it (what it is, name).
        self._followers: dict[tuple[str, str], Follower] = {}
        self._asked_at = now - every_s
        self._newest: tuple[Any, int] | None = None  # row of NB_Global, and the last question

    def start(self) -> None:
        """Start the threads; they end with the process."""
        if self._every_s:
            for work in (self._run, self._run_doubts):
                threading.Thread(target=work, name="isthmus-pulse", daemon=True).start()

    def stop(self) -> None:
        """Have the threads end; one that waits for a database that hangs is not waited for."""
        self._stopping.set()
        self._doubted.set()

    def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                pause_s = self.beat(self.open())
            except errors.Transient as error:
                _LOG.warning("OVN is asked again in %.0f s: %s", self._every_s, error)
                pause_s = self._every_s
            except Exception:  # noqa: BLE001  (a worker's loop)
                _LOG.exception("OVN is asked again in %.0f s whether it lives", self._every_s)
                pause_s = self._every_s
            self._stopping.wait(pause_s)

    def open(self) -> OvnRows:
        """Open the databases where they are not; both are asked by that.

        Raises:
            Unreachable: one does not answer.
        """
        if self._rows is not None:
            return self._rows
        for one in (self._nb, self._sb):
            one.begin(self._clock())
        try:
            self._rows = self._connect()
        except Exception as error:
            self._note_away(error)
            raise
        with self._lock:
            for one in (self._nb, self._sb):
                one.answered(self._clock())
        return self._rows

    def _note_away(self, error: Exception) -> None:
        """Note which of the databases did not answer; both, where the error does not say."""
        away = error.fields.get("away") if isinstance(error, errors.Unreachable) else None
        with self._lock:
            for name, one in (("northbound", self._nb), ("southbound", self._sb)):
                if isinstance(away, list) and name not in away:
                    one.answered(self._clock())
                else:
                    one.error = str(error).partition("\n")[0]

    def _run_doubts(self) -> None:
        while self._doubted.wait() and not self._stopping.is_set():
            self._doubted.clear()
            try:
                if self._rows is not None:
                    self.touch(self._rows)
            except Exception:  # noqa: BLE001  (a worker's loop)
                _LOG.exception("SB is asked again where there is a doubt")
            self._stopping.wait(_DOUBT_S)

    def beat(self, rows: OvnRows) -> float:
        """Look who has answered, and ask where it is time to; return when to look again."""
        self.look(rows)
        now = self._clock()
        if now - self._asked_at >= self._every_s and self._newest is not None:
            self._asked_at = now
            self._nb.write(rows.nb, Ask(*self._newest), self._clock)
            self.look(rows)
        behind_s = self._count_behind()
        if self._is_in_doubt():
            self._doubted.set()
        until_next = max(0.0, self._asked_at + self._every_s - self._clock())
        return min(_LOOK_S, until_next) if behind_s >= 0 else until_next

    def look(self, rows: OvnRows) -> None:
        """Read who has written down what."""
        state = [
            (row.uuid, int(row.nb_cfg), int(row.sb_cfg), row.external_ids.get(ANSWER_KEY))
            for row in rows.nb.rows("NB_Global")
        ]
        heard = list(list_heard(rows))
        now = self._clock()
        with self._lock:
            for row_id, asked, carried, answer in state:  # there is one
                if self._newest is not None and asked > self._newest[1]:
                    self._asked_at = now  # somebody asked, and NB told so: it lives
                    self._nb.answered(now)
                self._newest = (row_id, asked)
                self._northd.ask(asked, now)
                self._northd.reach(carried, now)
                self._follow_maintenance(asked, answer, now)
                # What northd has not carried into SB, no hypervisor can know of.
                self._follow(heard, asked, carried, now)

    def _follow_maintenance(self, asked: int, answer: str | None, now: float) -> None:
        if answer is None:
            self._maintenance = None
            return
        number = _to_number(answer)
        if self._maintenance is None:
            self._maintenance = Follower(since=now, reached=number)
        self._maintenance.ask(asked, now)
        self._maintenance.reach(number, now)

    def _follow(self, heard: list[Heard], asked: int, carried: int, now: float) -> None:
        """Note what hypervisors have written down.

        A number of which nobody has asked is no answer: it is of before NB was restored, or
        somebody's own. It would be one for as long as there is no greater question.
        """
        self._hosts = {one.name: one for one in heard}
        reached = {("", one.name): one.reached for one in heard}
        for one in heard:
            reached |= {(what, one.name): number for what, number in one.agents.items()}
        reached = {key: number if number <= asked else 0 for key, number in reached.items()}
        for key in self._followers.keys() - reached.keys():
            del self._followers[key]
        for key, number in reached.items():
            follower = self._followers.setdefault(key, Follower(since=now, reached=number))
            follower.ask(carried, now)
            follower.reach(number, now)

    def touch(self, rows: OvnRows) -> None:
        """See whether SB takes a write."""
        for row in list(rows.sb.rows("SB_Global")):
            self._sb.write(rows.sb, Touch(row.uuid), self._clock)

    def _is_in_doubt(self) -> bool:
        """Return whether SB may be away: it has yet to answer, or northd, or its answer was late.

        SB is asked in doubt alone, so its last answer would stay. A hypervisor that is silent
        while northd answers is no doubt of SB's; it may be so for days, and each question to SB
        goes to all of its clients.
        """
        now = self._clock()
        with self._lock:
            owing = [one.count_behind(now) or 0.0 for one in (self._northd, self._sb.follower)]
            return max(*owing, self._sb.follower.took_s) > _DOUBT_S

    def _count_behind(self) -> float:
        """Return how long anybody has owed an answer; less than 0 where nobody does."""
        now = self._clock()
        with self._lock:
            # SB too: it is asked until it answers.
            all_of_them = [self._northd, self._sb.follower, *self._followers.values()]
            all_of_them += [] if self._maintenance is None else [self._maintenance]
            owing = [one.count_behind(now) for one in all_of_them]
        return max((one for one in owing if one is not None), default=-1.0)

    def find_away(self) -> str:
        """Return which database does not answer, northbound or southbound; "" where both do."""
        now = self._clock()
        with self._lock:
            for name, one in (("northbound", self._nb), ("southbound", self._sb)):
                if (one.follower.count_behind(now) or 0.0) > AWAY_S:
                    return name
        return ""

    def report(self) -> dict[str, Any]:
        """Return who has answered, as ages in seconds.

        Returns:
            `every_s`, and of `northbound`, `southbound`, `northd` and each of `hypervisors` (name,
            hostname, switch_silent, switch_asked, agents) what `Follower.to_dict` gives; the
            databases have an `error` too, and `maintenance` is there where a worker has ever
            answered. Nothing where nobody is asked.
        """
        if not self._every_s:
            return {}
        now = self._clock()
        with self._lock:
            return {
                "every_s": self._every_s,
                "northbound": self._nb.to_dict(now),
                "southbound": self._sb.to_dict(now),
                "northd": self._northd.to_dict(now),
                **(
                    {}
                    if self._maintenance is None
                    else {"maintenance": self._maintenance.to_dict(now)}
                ),
                "hypervisors": [
                    self._report_host(host, now) for _, host in sorted(self._hosts.items())
                ],
            }

    def _report_host(self, host: Heard, now: float) -> dict[str, Any]:
        agents = {what: self._followers[what, host.name].to_dict(now) for what in host.agents}
        return {
            "name": host.name,
            "hostname": host.hostname,
            **self._followers["", host.name].to_dict(now),
            "switch_silent": host.silent,
            "switch_asked": agents.pop(_SWITCH_ASKED, None),
            "agents": agents,
        }
