"""What is wrong in a status, and what to do about it: the one list by which the command ends."""

import datetime
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from isthmus.clients.http.admin import Row
from isthmus.federation.audits.audit_pulse import check_pulse
from isthmus.model.form import format_age
from isthmus.model.site import CENTRAL, Reachability, SiteName, SiteState

if TYPE_CHECKING:
    from isthmus.operate.status import SiteStatus, Status

YES, NO, UNKNOWN = "yes", "no", "unknown"

#: An Xjob looks at each of its sites every `probe_interval_s` (3 s), and one call to a site that
#: hangs takes `call_timeout_s` (30 s): whom none has looked at for so long, in seconds, has none.
#: Longer than both together, and short enough to be said within a minute.
IDLE_S = 45.0

#: What becomes of a cloud without an Xjob, and of a site that the running ones do not look after.
START_XJOB = (
    "start isthmus-xjob where central runs (in a lab: `isthmus lab start central.xjob`), and see "
    "its log; one that hangs is killed first (`isthmus lab kill central.xjob`). Where it runs, see "
    "that central's database takes writes: its disk, its file system, its locks"
)
LOG_IN = (
    "see the log of isthmus-xjob for lane={0}, and that its file has a login in [isthmus_xjob:{0}]"
)


SET_CLOCK = (
    "set the clocks of central's database and of its hosts right, and see that isthmus-xjob runs: "
    "it writes the time anew within seconds"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Trouble:
    """One thing that an operator has to know."""

    place: str  #: a site, central, or xjob
    what: str  #: one sentence, with since when where that is known
    next_step: str = ""  #: what to do; empty where the sentence says it


def judge_service(row: Row, now: datetime.datetime) -> str:
    """Tell whether an Xjob looks after a site: yes, no, or unknown. Pure.

    Only of a site that answered the last time is it known: the time is that of its last answer.

    Args:
        row: the site, as central has it.
        now: central's time.
    """
    if row["state"] == SiteState.DISABLED:
        return NO
    seen = count_seconds(row["last_seen_at"], now)
    if row["reachability"] != Reachability.REACHABLE or seen is None or seen < -IDLE_S:
        return UNKNOWN
    return NO if seen > IDLE_S else YES


def count_ahead(served: str, seen_at: object, now: datetime.datetime) -> float:
    """Return by how many seconds a site's last answer is in the future; 0 where it is not. Pure.

    Central's clock was set back then, and nobody can tell from the time who looks after the site. A
    running Xjob writes it anew within seconds.

    Args:
        served: whether an Xjob looks after the site.
        seen_at: when the site answered last.
        now: central's time.
    """
    seen = count_seconds(seen_at, now)
    return -seen if served == UNKNOWN and seen is not None and seen < -IDLE_S else 0.0


def judge_pulse(name: str, pulse: Row) -> Iterator[Trouble]:
    """Tell what of a site's OVN is dead, hangs or is slow, as the audit does. Pure.

    Args:
        name: of the site.
        pulse: what the site says of who has answered.
    """
    for one in check_pulse(SiteName(name), pulse):
        where = f" on {one.subject.name}" if one.subject.type else ""
        yield Trouble(
            place=name,
            what=f"At {name}, {one.message}{where}: {one.evidence}",
            next_step=f"{one.remedy[0].lower()}{one.remedy[1:].removesuffix('.')}",
        )


def count_seconds(then: object, now: datetime.datetime) -> float | None:
    """Return how long ago a time of the API was, in seconds; None where it is none."""
    try:
        parsed = datetime.datetime.fromisoformat(str(then))
    except ValueError:
        return None
    return (now - parsed.replace(tzinfo=parsed.tzinfo or datetime.UTC)).total_seconds()


def list_troubles(found: "Status") -> list[Trouble]:
    """List what is wrong, what concerns all sites first. Pure.

    A site that is disabled or draining is as its operator wants it; jobs under way are no trouble,
    unless the site has not taken the oldest for a minute.
    """
    return [
        *_judge_xjob(found),
        *_judge_clock(found),
        *_judge_central(found),
        *_judge_witness(str(CENTRAL), found.central.witness),
        *_judge_sites(found),
    ]


def _judge_xjob(found: "Status") -> list[Trouble]:
    idle = _list_unserved(found.sites)
    if not idle:
        return []
    if any(one.served == YES for one in found.sites):
        return [
            Trouble(
                place=one.name,
                what=f"No Xjob has looked at {_name_with_age(one, found.now)}: nothing is carried "
                "to it",
                next_step=LOG_IN.format(one.name),
            )
            for one in idle
        ]
    ages = [count_seconds(one.last_seen_at, found.now) or 0.0 for one in idle]
    return [
        Trouble(
            place="xjob",
            what=f"No Xjob runs, or none gets on: none has looked at any site for "
            f"{format_age(min(ages))}. Nothing is carried to the sites, and nobody sees which of "
            "them answer",
            next_step=START_XJOB,
        )
    ]


def _judge_clock(found: "Status") -> Iterator[Trouble]:
    for one in found.sites:
        ahead = count_ahead(one.served, one.last_seen_at, found.now)
        if ahead:
            yield Trouble(
                place=one.name,
                what=f"Whether an Xjob looks after {one.name} cannot be told: its last answer is "
                f"{format_age(ahead)} in the future, so central's clock was set back",
                next_step=SET_CLOCK,
            )


def _list_unserved(sites: "Sequence[SiteStatus]") -> "list[SiteStatus]":
    return [one for one in sites if one.served == NO and one.state != SiteState.DISABLED]


def _name_with_age(one: "SiteStatus", now: datetime.datetime) -> str:
    return f"{one.name} for {format_age(count_seconds(one.last_seen_at, now))}"


def _judge_central(found: "Status") -> list[Trouble]:
    central = str(CENTRAL)
    if found.awaited:
        return [
            Trouble(
                place=central,
                what="Central gives out no addresses: it was restored and waits for "
                f"{', '.join(found.awaited)} to register",
                next_step="for one that will not come back: isthmus site go-on-without NAME",
            )
        ]
    if found.central.recovered is False:
        return [
            Trouble(
                place=central,
                what=f"Central gives out no addresses: {found.central.reason}",
            )
        ]
    if found.central.silence:
        return [
            Trouble(
                place=central,
                what="Central did not say whether it gives out addresses "
                f"({found.central.silence})",
                next_step="ask again",
            )
        ]
    return []


def _judge_witness(place: str, witness: str) -> list[Trouble]:
    if not witness:
        return []
    return [
        Trouble(
            place=place,
            what=f"{place} may not notice a restore of its database: {witness}",
            next_step="see its log for isthmus.neutron.db.witness; what has become of the file is "
            "said until Neutron is started again there",
        )
    ]


def _judge_sites(found: "Status") -> list[Trouble]:
    troubles = []
    for one in found.sites:
        if one.state != SiteState.DISABLED:
            said = [*_judge_link(one, found), *_judge_jobs(one), *_judge_numbers(one)]
        else:
            said = [*_judge_parked(one), *_judge_numbers(one)]
        troubles += [Trouble(place=one.name, what=what, next_step=step) for what, step in said]
        troubles += one.ovn
        troubles += _judge_witness(one.name, one.witness)
    return troubles


def _judge_link(one: "SiteStatus", found: "Status") -> list[tuple[str, str]]:
    if one.reachability == Reachability.UNREACHABLE:
        seen = count_seconds(one.last_seen_at, found.now)
        since = "has never answered" if seen is None else f"last answered {format_age(seen)} ago"
        error = f": {one.last_error}" if one.last_error else ""
        step = (
            f"see that Neutron and Keystone of {one.name} run, and that central's host reaches "
            f"them (in a lab, `isthmus lab start {one.name}.neutron`, `isthmus lab start "
            f"{one.name}.keystone`, `isthmus lab link restore {one.name}`); what hangs is killed "
            f"first (`isthmus lab kill {one.name}.neutron`, `isthmus lab kill {one.name}.keystone`)"
        )
        if not any(each.served == YES for each in found.sites):
            step += "; and that isthmus-xjob runs: no other site shows that it does"
        return [(f"{one.name} is not reachable; it {since}{error}", step)]
    if one.reachability == Reachability.UNKNOWN:
        return [
            (
                f"{one.name} is not reachable: no Xjob has ever tried it",
                f"see that isthmus-xjob runs, and has a login in [isthmus_xjob:{one.name}]",
            )
        ]
    return []


def _judge_jobs(one: "SiteStatus") -> list[tuple[str, str]]:
    said = _judge_parked(one)
    # A site may refuse each object by itself, and none of its batches.
    error = one.last_error or one.oldest_error
    stuck = one.reachability == Reachability.REACHABLE and error
    if stuck and one.oldest is not None and one.oldest > IDLE_S:
        said.append(
            (
                f"{one.name} answers, and has not taken what it was sent for "
                f"{format_age(one.oldest)}: {error}",
                f"isthmus job list --site {one.name} shows what, and why",
            )
        )
    return said


def _judge_parked(one: "SiteStatus") -> list[tuple[str, str]]:
    if not one.parked:
        return []
    return [
        (
            f"{one.name} has {one.parked} parked or refused",
            "isthmus job list --state parked shows what a site did not take, isthmus job refused "
            "what central did not take of a site",
        )
    ]


def _judge_numbers(one: "SiteStatus") -> list[tuple[str, str]]:
    if one.allocates == NO:
        return [(f"{one.name} gives out no addresses: {one.waits_for}", one.next_step)]
    if one.keeps:
        what = (
            f"{one.name} was restored and keeps what its OVN has of other sites' ports and "
            f"routers: {one.keeps}"
        )
        return [(what, one.next_step)]
    if one.waits_for:
        return [(f"Central waits for {one.name}: {one.waits_for}", one.next_step)]
    if one.next_step:
        return [(f"Whether {one.name} gives out addresses is not known", one.next_step)]
    return []
