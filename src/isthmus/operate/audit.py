"""Collect the holdings of all tiers at once and compare them."""

import contextlib
import datetime
import queue
import threading
import time
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from isthmus import errors
from isthmus.clients.http.admin import Row
from isthmus.clients.http.neutron import NeutronClient
from isthmus.federation.audits.audit import DISABLED, ODD, audit
from isthmus.federation.audits.holdings import Holdings, parse_holdings
from isthmus.model.form import counted, format_age
from isthmus.model.intent import IntentKey, Job, JobState
from isthmus.model.resource import ResourceType
from isthmus.model.site import CENTRAL, Reachability, SiteName, SiteState
from isthmus.model.verdict import (
    Answer,
    Report,
    Ruling,
    Severity,
    Subject,
    Verdict,
    is_clean,
    order,
)
from isthmus.operate.cloud import SHOWS_NOTHING, Cloud, ask_first
from isthmus.operate.trouble import (
    LOG_IN,
    NO,
    SET_CLOCK,
    START_XJOB,
    UNKNOWN,
    YES,
    count_ahead,
    count_seconds,
    judge_service,
)

#: How long a site may take for a small answer, in seconds: one whose machine is busy answers late.
_ANSWER_S = 30.0
#: Pause between two looks of `wait_clean`, in seconds: holdings are not cheap.
_LOOK_EVERY_S = 2.0
_REACH = (
    "See that the host of central reaches Neutron and Keystone of {0}: it does so on another way "
    "than you (in a lab, `isthmus lab link restore {0}`)."
)
#: Codes, as far as they begin so, of findings of one thing alone: who answers, what is parked.
_OF_ONE = ("site.", "tier.", "job.", "ovn.slow")
#: What fails where a row is read that has not the form that it should have.
_FORM_ERRORS = (KeyError, TypeError, ValueError, AttributeError, RecursionError, OverflowError)
#: Most kinds of findings that one line of progress names.
_MOST_SAID = 3


def collect_report(admin: Cloud, *, network: str | None = None) -> Report:
    """Read the holdings of every tier and compare them.

    Tiers are not read in one moment, and what changes meanwhile looks like a difference. So where
    there is one, all is read once more, and what does not differ any more is left out.

    Args:
        admin: central, and the way to the sites.
        network: id or name of the one network to look at; None for everything.

    Returns:
        What differs, the worst first, and how each check came out.

    Raises:
        NotFound: there is no such network.
        IsthmusError: central does not answer.
    """
    network_id = None
    if network:
        network_id = ask_first(admin, lambda: admin.api.get_named("network", network)["id"])
    report, unheard = _look(admin, network_id)
    if any(map(_compares, report.findings)):
        report, _ = _look(admin, network_id, before=report, unheard=unheard)
    return report


def _compares(verdict: Verdict) -> bool:
    """Tell whether a finding is of two things that were read at different moments."""
    return not (verdict.code.startswith(_OF_ONE) or verdict.code.endswith(".silent"))


def _look(
    admin: Cloud,
    network_id: str | None,
    *,
    before: Report | None = None,
    unheard: Mapping[SiteName, str] | None = None,
) -> tuple[Report, Mapping[SiteName, str]]:
    """Read and compare once; return sites that did not answer as well.

    Args:
        admin: central, and the way to the sites.
        network_id: the one network to look at; None for everything.
        before: what an earlier look has found: what only this one finds is no difference.
        unheard: sites that did not answer that, which are not waited for again.
    """
    sites = ask_first(admin, lambda: admin.api.list("site"))
    now = admin.api.read_clock()
    enabled = [row for row in sites if row["state"] != SiteState.DISABLED]
    silent = {
        SiteName(row["name"]): DISABLED for row in sites if row["state"] == SiteState.DISABLED
    }
    clients = {
        SiteName(row["name"]): admin.open_site(row["name"], row["region"])
        for row in enabled
        if row["name"] not in (unheard or {})
    }
    with ThreadPoolExecutor(max_workers=1) as thread:
        asked = thread.submit(_ask, admin.open_central(), network_id)
        held, away = _ask_sites(clients, network_id)
        central = asked.result()
    away |= unheard or {}
    silent |= away
    parked = (_to_job(row) for row in admin.api.iterate("site_job", state="parked"))
    jobs = [job for job in parked if network_id is None or _concerns(job, network_id, central)]
    report, odd = _compare(central, held, silent=silent, jobs=jobs, before=before)
    away |= odd
    return _add_service(report, enabled, now), away


def _compare(
    central: Holdings, held: Mapping[SiteName, Holdings], **more: Any
) -> tuple[Report, dict[SiteName, str]]:
    """Audit; give sites besides whose holdings cannot be compared: those hide no others.

    Args:
        central: what is wanted.
        held: what each site holds.
        more: what `audit` takes besides.
    """
    try:
        return audit(central, held, **more), {}
    except _FORM_ERRORS:
        odd = {name: why for name, one in held.items() if (why := _find_fault(central, one))}
        if not odd:
            raise
    more["silent"] = {**more["silent"], **odd}
    return audit(central, {name: held[name] for name in held.keys() - odd.keys()}, **more), odd


def _find_fault(central: Holdings, site: Holdings) -> str:
    """Return why the holdings of a site cannot be compared; empty where they can."""
    try:
        audit(central, {site.name: site})
    except _FORM_ERRORS as error:
        return f"{ODD}: {error!r}"
    return ""


def _add_service(report: Report, rows: Collection[Row], now: datetime.datetime) -> Report:
    """Add which sites no Xjob looks after: what is wrong there heals only by somebody's hand."""
    served = {row["name"]: judge_service(row, now) for row in rows}
    idle = [row for row in rows if served[row["name"]] == NO]
    verdicts = [
        Verdict(
            code="site.not_served",
            severity=Severity.BROKEN,
            subject=Subject(row["name"], "site", str(CENTRAL)),
            message="no Xjob looks after the site",
            evidence=f"last looked at {format_age(count_seconds(row['last_seen_at'], now))} ago",
            remedy=_to_sentence(
                START_XJOB if YES not in served.values() else LOG_IN.format(row["name"])
            ),
        )
        for row in idle
    ]
    verdicts += _list_unreached(report, rows, now)
    verdicts += _list_ahead(served, rows, now)
    answer = Answer.FOUND if verdicts else Answer.FINE
    if not verdicts and UNKNOWN in served.values():
        answer = Answer.NOT_SEEN
    elif not served:
        answer = Answer.NOT_APPLICABLE
    return Report(
        findings=tuple(sorted((*report.findings, *verdicts), key=order)),
        rulings=(*report.rulings, Ruling(check="Xjob", answer=answer)),
    )


def _list_unreached(
    report: Report, rows: Collection[Row], now: datetime.datetime
) -> Iterator[Verdict]:
    """Find sites that answer the person, and not Xjob: nothing is carried to them."""
    silent = {one.subject.name for one in report.findings if one.code == "site.not_audited"}
    for row in rows:
        if row["reachability"] != Reachability.UNREACHABLE or row["name"] in silent:
            continue
        seen = count_seconds(row["last_seen_at"], now)
        since = "it never answered" if seen is None else f"it last answered {format_age(seen)} ago"
        error = f": {row['last_error']}" if row.get("last_error") else ""
        yield Verdict(
            code="site.not_reachable",
            severity=Severity.BROKEN,
            subject=Subject(row["name"], "site", str(CENTRAL)),
            message="central's Xjob does not reach the site",
            evidence=f"{since}{error}",
            remedy=_REACH.format(row["name"]),
        )


def _list_ahead(
    served: Mapping[str, str], rows: Collection[Row], now: datetime.datetime
) -> Iterator[Verdict]:
    """Find sites of which the time of the last answer tells nothing."""
    for row in rows:
        ahead = count_ahead(served[row["name"]], row["last_seen_at"], now)
        if ahead:
            yield Verdict(
                code="site.not_served",
                severity=Severity.UNKNOWN,
                subject=Subject(row["name"], "site", str(CENTRAL)),
                message="whether an Xjob looks after the site cannot be told",
                evidence=f"its last answer is {format_age(ahead)} in the future: central's clock "
                "was set back",
                remedy=_to_sentence(SET_CLOCK),
            )


def _to_sentence(said: str) -> str:
    return f"{said[0].upper()}{said[1:]}."


def wait_clean(
    admin: Cloud,
    *,
    network: str | None = None,
    wait_s: float = 0.0,
    tell: Callable[[str, float], None] | None = None,
    clock: Callable[[], float] = time.monotonic,
    pause: Callable[[float], None] = time.sleep,
) -> Report:
    """Audit until nothing is wrong or the time is over; return the last report.

    A central that does not answer now is asked again while there is time.

    Args:
        admin: the cloud.
        network: id or name of the network to which the audit is limited; None: all.
        wait_s: how long to go on while something is wrong.
        tell: called before each further look with what is still wrong, and the seconds left.
        clock: gives seconds that only grow.
        pause: waits for some seconds.

    Raises:
        IsthmusError: central did not answer; a site that does not is a finding.
    """
    deadline = clock() + wait_s
    while True:
        try:
            report = collect_report(admin, network=network)
            if is_clean(report.findings) or clock() >= deadline:
                return report
            wrong = summarise(report)
        except errors.Transient as error:
            if clock() >= deadline:
                raise
            wrong = error.message
        left_s = max(0.0, deadline - clock())
        if tell is not None:
            tell(wrong, left_s)
        pause(min(_LOOK_EVERY_S, left_s))


def summarise(report: Report) -> str:
    """Write in one line what is wrong: each message once, with how often and where."""
    found = [one for one in report.findings if one.severity is not Severity.ADVICE]
    kinds = Counter((one.message, one.subject.place) for one in found)
    said = [
        message + (f" at {place}" if place else "") + (f" ({count} times)" if count > 1 else "")
        for (message, place), count in kinds.items()
    ]
    more = f" and {len(said) - _MOST_SAID} more" if len(said) > _MOST_SAID else ""
    return f"{counted(len(found), 'finding')}: {', '.join(said[:_MOST_SAID])}{more}"


def _ask_sites(
    clients: Mapping[SiteName, NeutronClient],
    network_id: str | None,
    answer_s: float = _ANSWER_S,
) -> tuple[dict[SiteName, Holdings], dict[SiteName, str]]:
    """Ask all sites at once; give what they hold, and why others did not say so.

    A great answer may take long. A site that does not give a small one in time hangs, and is not
    waited for.
    """
    answers, alive = _start_asking(clients, network_id)
    held: dict[SiteName, Holdings] = {}
    silent: dict[SiteName, str] = {}
    deadline = time.monotonic() + answer_s
    while waited := clients.keys() - held.keys() - silent.keys():
        left_s = deadline - time.monotonic()
        try:
            name, answer = answers.get(timeout=max(0.0, left_s) if waited - alive else None)
        except queue.Empty:
            late = f"no answer within {answer_s:g} seconds, not even to a small question"
            silent |= dict.fromkeys(waited - alive, late)
            continue
        if name in silent:  # it came too late for anybody to wait for it
            continue
        if isinstance(answer, errors.IsthmusError):
            is_odd = isinstance(answer, errors.ProtocolError)
            silent[name] = f"{ODD}: {answer.message}" if is_odd else answer.message
        elif isinstance(answer, Exception):
            raise answer
        else:
            held[name] = answer
    return held, silent


def _start_asking(
    clients: Mapping[SiteName, NeutronClient], network_id: str | None
) -> tuple["queue.Queue[tuple[SiteName, Holdings | Exception]]", set[SiteName]]:
    """Ask all sites in threads; give what they answer, and who answered a small question."""
    answers: queue.Queue[tuple[SiteName, Holdings | Exception]] = queue.Queue()
    alive: set[SiteName] = set()

    def ask(name: SiteName, client: NeutronClient) -> None:
        try:
            answers.put((name, _ask_as(name, client, network_id)))
        except Exception as error:  # noqa: BLE001  (raised again where it is no answer)
            answers.put((name, error))

    def probe(name: SiteName, client: NeutronClient) -> None:
        with contextlib.suppress(errors.IsthmusError):  # the great question says why
            client.get_all("site_holding", fields="epoch")
            alive.add(name)

    for name, client in clients.items():
        for work in (ask, probe):
            # Daemons: the command may end while one of them still waits.
            threading.Thread(target=work, args=(name, client), daemon=True).start()
    return answers, alive


def _ask_as(name: SiteName, client: NeutronClient, network_id: str | None) -> Holdings:
    """Ask a site, which has to say that it is that one: regions may be mixed up.

    Raises:
        ProtocolError: it is another one.
    """
    held = _ask(client, network_id)
    if held.name != name:
        raise errors.ProtocolError(f"it says that it is {held.name}")
    return held


def _ask(client: NeutronClient, network_id: str | None) -> Holdings:
    query = {"network_id": network_id} if network_id else {}
    rows = client.get_all("site_holding", **query)
    if not rows:
        raise errors.Refused(SHOWS_NOTHING.format(client.name))
    if len(rows) != 1:
        raise errors.ProtocolError(
            f"{client.name} gave {len(rows)} rows of holdings instead of one"
        )
    return parse_holdings(rows[0])


def _concerns(job: Job, network_id: str, central: Holdings) -> bool:
    """Tell whether a job is about a network, what is on it or what that names.

    As far as central knows: what a network is no longer on is told by an audit of all.
    """
    known = {network_id, *central.objects[ResourceType.SUBNET], *central.ports}
    known |= {row_id for kind, row_id, _ in central.mappings if kind != ResourceType.NETWORK}
    known |= {lease.id for lease in central.leases}
    return job.key.id in known


def _to_job(row: Mapping[str, Any]) -> Job:
    try:
        return Job(
            id=row["id"],
            key=IntentKey(SiteName(row["site"]), ResourceType(row["type"]), row["resource_id"]),
            state=JobState(row["state"]),
            generation=row["generation"],
            attempts=row["attempts"],
            created_at=_time(row["created_at"]),
            changed_at=_time(row["changed_at"]),
            not_before=None if row["not_before"] is None else _time(row["not_before"]),
            last_error=row["last_error"] or "",
        )
    except (KeyError, TypeError, ValueError) as error:
        raise errors.ProtocolError(f"not a job: {error!r}") from error


def _time(text: str) -> datetime.datetime:
    return datetime.datetime.fromisoformat(text).replace(tzinfo=None)
