"""How every site stands: what central has seen of it, and what it says of itself.

A site that was restored from a backup gives out no address and no port key before it has
registered. Central cannot know that; so each site is asked, with the person's own token.
"""

import contextlib
import datetime
import queue
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from isthmus import errors
from isthmus.clients.http.admin import AdminApi, Row
from isthmus.clients.http.neutron import NeutronClient, promised
from isthmus.model.site import CENTRAL, Reachability, SiteState
from isthmus.operate.cloud import SHOWS_NOTHING, Cloud, ask_first
from isthmus.operate.trouble import (
    NO,
    UNKNOWN,
    YES,
    Trouble,
    judge_pulse,
    judge_service,
    list_troubles,
)

#: How long the tiers may take to say how they stand, in seconds: one that hangs delays nobody.
_ANSWER_S = 10.0

#: Why a restored site takes no row of another site's port or router out of its OVN.
_KEEPS = {
    1: "central has yet to send it some of them",
    2: "other sites have yet to report some of them to central",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """What a tier says of its own database, or why it said nothing."""

    recovered: bool | None = None  #: whether it gives out numbers; None where it did not say
    blind: bool = False  #: whether it could not yet find out how old its database is
    stands_down: bool = False  #: central hears another database as this site
    behind: int = 0  #: of a restored site: 1: has yet to be sent, 2: central has yet to hear
    reason: str = ""  #: why it gives out none
    witness: str = ""  #: why a restore of its database may go unnoticed
    silence: str = ""  #: why it did not say, where it was asked
    pulse: Mapping[str, Any] = field(default_factory=dict)  #: who of its OVN has answered


@dataclass(frozen=True, slots=True, kw_only=True)
class SiteStatus:
    """How one site stands, in the words of the API."""

    name: str
    state: str
    reachability: str
    last_seen_at: str | None
    served: str  #: yes, no, or unknown: whether an Xjob looks after it
    backlog: int
    parked: int
    allocates: str  #: yes, no, or unknown: whether it gives out addresses and port keys
    waits_for: str  #: why it, or central because of it, gives out no address now
    ports_due: int  #: ports that it has yet to be told of before it gives out addresses
    keeps: str  #: why its OVN's rows of other sites stay as they are; empty where they do not
    next_step: str  #: what an operator does about that; empty where nothing is wrong
    witness: str  #: why a restore of its database may go unnoticed; empty where it would not
    oldest: int | None  #: age of the oldest unparked job, in seconds
    oldest_error: str  #: why that one was not taken when it was last sent
    last_error: str
    ovn: tuple[Trouble, ...] = ()  #: what of its OVN is dead, hangs or is slow


@dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    """How the cloud stands."""

    sites: tuple[SiteStatus, ...]
    central: Standing
    awaited: tuple[str, ...]  #: sites for which central waits before it gives out numbers
    now: datetime.datetime  #: by central's clock

    @property
    def troubles(self) -> list[Trouble]:
        """List what is wrong; nothing where all is as it should be, or as the operator wants it."""
        return list_troubles(self)


def collect_status(admin: Cloud, *, answer_s: float = _ANSWER_S) -> Status:
    """Read how every site stands.

    Args:
        admin: central, and the way to the sites.
        answer_s: how long each tier may take to say how it stands itself, in seconds.

    Raises:
        Refused: the person may see nothing of an operator's.
        IsthmusError: central did not answer.
    """
    rows = ask_first(admin, lambda: admin.api.list("site", sort_key="name", sort_dir="asc"))
    now = admin.api.read_clock()
    if not rows:
        require_sight(admin.open_central())
    tiers = {str(CENTRAL): admin.open_central()}
    tiers |= {
        row["name"]: admin.open_site(row["name"], row["region"]) for row in rows if _is_asked(row)
    }
    standings = _ask_all(tiers, answer_s) if rows else {}
    jobs = {row["name"]: _find_oldest(admin.api, row) for row in rows}
    central = standings.get(str(CENTRAL), Standing())
    sites = (
        judge(row, standings.get(row["name"], Standing()), central, jobs[row["name"]], now)
        for row in rows
    )
    awaited = tuple(row["name"] for row in rows if row.get("waits_for"))
    return Status(sites=tuple(sites), central=central, awaited=awaited, now=now)


def require_sight(client: NeutronClient) -> None:
    """See that a person is shown what a tier holds: whom an empty list tells something.

    Raises:
        Refused: the person is not.
        IsthmusError: the tier did not answer.
    """
    if not client.get_all("site_holding", fields="epoch"):
        raise errors.Refused(SHOWS_NOTHING.format(client.name))


def judge(
    row: Row, own: Standing, central: Standing, oldest: Row | None, now: datetime.datetime
) -> SiteStatus:
    """Return how a site stands. Pure.

    Args:
        row: the site, as central has it.
        own: what the site says of itself.
        central: what central says of itself.
        oldest: its oldest unparked job.
        now: central's time.
    """
    waited_for = row.get("waits_for") or ""
    reasons = [waited_for] if waited_for else []
    if own.recovered is False:
        reasons.append(own.reason or "its database was restored")
    due = int(row.get("ports_due") or 0) if own.recovered is False else 0
    return SiteStatus(
        name=row["name"],
        state=row["state"],
        reachability=row["reachability"],
        last_seen_at=row["last_seen_at"],
        served=judge_service(row, now),
        backlog=row["backlog"],
        parked=row["parked"],
        allocates=UNKNOWN if own.recovered is None else YES if own.recovered else NO,
        waits_for="; ".join(reasons),
        ports_due=due,
        keeps=_KEEPS.get(own.behind, "") if own.recovered else "",
        next_step=_advise(row, own, central, due),
        witness=own.witness,
        oldest=None if oldest is None else int(oldest["age"]),
        oldest_error="" if oldest is None else str(oldest["last_error"] or ""),
        last_error=row["last_error"] or "",
        ovn=tuple(judge_pulse(row["name"], own.pulse)),
    )


def _advise(row: Row, own: Standing, central: Standing, due: int) -> str:
    """Describe what an operator does where addresses are not given out."""
    name = str(row["name"])
    if own.stands_down:
        return (
            f"stop the database of {name} that is wrong; where this one is right, run there: "
            "isthmus restored --config-file /etc/neutron/neutron.conf"
        )
    if row.get("waits_for"):
        return (
            f"see that Neutron runs at {name} and reaches central: it registers by itself within a "
            "minute. If the site will not come back: isthmus site go-on-without " + name
        )
    if own.recovered is not False:
        return _advise_recovered(name, own)
    if own.blind:
        return (
            f"it registers when it has found that out: see the log of Neutron at {name} for "
            f"isthmus.neutron.db.witness. Where isthmus-{name}.witness in Neutron's state_path "
            "cannot be this database's (it tells of an epoch that never was), move that file away"
        )
    return _advise_waiting(name, central, due)


def _advise_waiting(name: str, central: Standing, due: int) -> str:
    """Describe what an operator does at a site that waits for others."""
    if central.recovered is False:
        return "nothing here: it waits for central, which waits for the sites that are named"
    if due:
        return (
            f"see that isthmus-xjob runs: it carries them, isthmus job list --site {name} --type "
            "port shows which"
        )
    return (
        f"it registers by itself within seconds; if this stays, see the log of Neutron at {name} "
        "and that it reaches central"
    )


def _advise_recovered(name: str, own: Standing) -> str:
    if own.behind == 1:
        return f"isthmus job list --site {name} --type shadow (and router) shows what is due"
    if own.behind:
        return (
            "see which sites cannot be reached, or have yet to register; nobody waits for one that "
            "will not come back and is disabled: isthmus site disable NAME"
        )
    if not own.silence:
        return ""
    return (
        f"it did not say whether it gives out addresses ({own.silence}): ask again, and if this "
        f"stays, see that Neutron and Keystone at {name} answer (in a lab, `isthmus lab start "
        f"{name}.neutron`, `isthmus lab start {name}.keystone`); what hangs is killed first "
        f"(`isthmus lab kill {name}.neutron`, `isthmus lab kill {name}.keystone`)"
    )


def _is_asked(row: Row) -> bool:
    """Tell whether a site can be asked: one that cannot be reached would cost a time-out."""
    away = row["reachability"] == Reachability.UNREACHABLE
    return not away and row["state"] != SiteState.DISABLED


def _ask_all(tiers: Mapping[str, NeutronClient], answer_s: float) -> dict[str, Standing]:
    """Ask tiers how they stand, all at once; what does not say so in time is silent."""
    answers: queue.Queue[tuple[str, Standing]] = queue.Queue()

    def ask(name: str, client: NeutronClient) -> None:
        answers.put((name, _ask(name, client)))

    for name, client in tiers.items():
        # Daemons: the command may end while one of them still waits.
        threading.Thread(target=ask, args=(name, client), daemon=True).start()
    deadline = time.monotonic() + answer_s
    late = Standing(silence=f"no answer within {answer_s:g} seconds")
    found: dict[str, Standing] = {}
    with contextlib.suppress(queue.Empty):
        while len(found) < len(tiers):
            name, standing = answers.get(timeout=max(0.0, deadline - time.monotonic()))
            found[name] = standing
    return {name: found.get(name, late) for name in tiers}


def _ask(name: str, client: NeutronClient) -> Standing:
    try:
        rows = client.get_all("site_holding", fields=["epoch", "pulse"])
        with promised(name):
            return _read_standing(name, rows)
    except errors.IsthmusError as error:
        return Standing(silence=str(error))


def _read_standing(name: str, rows: Sequence[Row]) -> Standing:
    said: Any = rows[0].get("epoch") if len(rows) == 1 else None
    pulse: Any = rows[0].get("pulse") if len(rows) == 1 else None
    if not isinstance(said, Mapping):
        return Standing(silence="its answer does not say")
    standing = Standing(
        recovered=bool(said.get("recovered", True)),
        blind=bool(said.get("blind")),
        stands_down=bool(said.get("stands_down")),
        behind=int(said.get("behind") or 0),
        reason=str(said.get("reason") or ""),
        pulse=pulse if isinstance(pulse, Mapping) else {},
        witness=str(said.get("witness") or ""),
    )
    list(judge_pulse(name, standing.pulse))  # fails here, where the tier is named
    return standing


def _find_oldest(api: AdminApi, site: Row) -> Row | None:
    if not site["backlog"]:
        return None
    jobs = api.iterate(
        "site_job",
        page_size=1,
        site=site["name"],
        state=["waiting", "running"],
        sort_key="created_at",
        sort_dir="asc",
    )
    return next(iter(jobs), None)
