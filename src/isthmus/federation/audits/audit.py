"""The audit: is every tier as it should be? Pure: holdings in, verdicts out.

Central's holdings are what is wanted. An object that differs while intents for its site are on
their way is degraded, not broken: the next audit tells whether it was more.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from isthmus.federation.audits import audit_ovn, audit_pulse
from isthmus.federation.audits.audit_leases import check_leases
from isthmus.federation.audits.audit_objects import find_compared, is_local, list_mapped
from isthmus.federation.audits.holdings import Holdings, Row
from isthmus.federation.audits.remedy import GOES, REPORTED, SENT, say_deletions
from isthmus.model.intent import Job, JobState
from isthmus.model.resource import ORDERED, RESOURCES, Resource, ResourceType
from isthmus.model.site import CENTRAL, SiteName
from isthmus.model.verdict import Answer, Report, Ruling, Severity, Subject, Verdict, order

#: What may be wrong with an object, and the words for it.
_PROBLEMS = {"missing": "missing", "extra": "too many", "different": "different"}
#: Most characters of a difference that are shown; a group of a hundred rules has fewer.
_MOST_SHOWN = 16_000
#: Why a site was not asked that an operator has disabled.
DISABLED = "an operator has disabled it"
_DISABLED = (
    "`isthmus site enable {0}` where it is to take part again; `isthmus site delete {0}` where it "
    "is lost."
)
#: How a reason begins that is an answer of no use.
ODD = "its answer has another form than it should"
_OTHER_FORM = (
    "See that {0} and central run versions of Isthmus that go together, and that what answers for "
    "it in Keystone's catalogue is its Neutron; `isthmus site show {0}` names its region."
)
_SILENT = (
    "Start what does not run of Neutron and Keystone of {0} (in a lab, `isthmus lab start "
    "{0}.neutron` and `isthmus lab start {0}.keystone`); what hangs is killed first (`isthmus lab "
    "kill {0}.neutron`, `isthmus lab kill {0}.keystone`). `isthmus status` says since when."
)


def audit(
    central: Holdings,
    sites: Mapping[SiteName, Holdings],
    *,
    silent: Mapping[SiteName, str] | None = None,
    jobs: Iterable[Job] = (),
    before: Report | None = None,
) -> Report:
    """Compare all tiers.

    Args:
        central: what is wanted.
        sites: what each site holds.
        silent: sites that could not be asked, and why.
        jobs: intents at central; the parked ones become verdicts.
        before: what an earlier look has found: only what it found as well is a difference.

    Returns:
        What differs, the worst first, and how each check came out; no verdict means that all tiers
        agree.
    """
    runs: list[tuple[str, Iterable[Verdict]]] = [
        ("restores", _check_recovered([central, *sites.values()])),
        ("jobs", _check_jobs(jobs)),
        ("leases", check_leases(central, sites)),
        ("addresses", _check_duplicates(central, [central, *sites.values()])),
        ("homes", _check_homes(central, sites)),
        ("port keys", audit_ovn.check_key_holders(central, sites)),
    ]
    for site in sites.values():
        runs.append((f"objects at {site.name}", _check_site(central, site)))
        runs.append((f"data plane at {site.name}", audit_ovn.check_site(central, site)))
    found = list(_check_silent(silent or {}))
    rulings = [
        Ruling(check=f"site {name}", answer=Answer.NOT_SEEN, why=f"{name}: {reason}")
        for name, reason in (silent or {}).items()
    ]
    known = None if before is None else {(one.code, one.subject) for one in before.findings}
    for name, verdicts in runs:
        seen = [one for one in verdicts if known is None or (one.code, one.subject) in known]
        found += seen
        rulings.append(Ruling(check=name, answer=Answer.FOUND if seen else Answer.FINE))
    for site in sites.values():
        pulse, rulings_of_pulse = _check_pulse(site)
        found += pulse
        rulings += rulings_of_pulse
    return Report(findings=tuple(sorted(found, key=order)), rulings=tuple(rulings))


def _check_pulse(site: Holdings) -> tuple[list[Verdict], list[Ruling]]:
    """Tell who of a site's OVN is alive, and whether what was read of OVN is of now."""
    seen = [*audit_pulse.check_pulse(site.name, site.pulse), *audit_pulse.check_gone(site)]
    check = f"OVN's processes at {site.name}"
    if "northbound" not in site.pulse:
        why = f"{site.name} does not ask its OVN whether it lives"
        return seen, [Ruling(check=check, answer=Answer.NOT_SEEN, why=why)]
    rulings = [Ruling(check=check, answer=Answer.FOUND if seen else Answer.FINE)]
    unseen = site.ovn.get("unseen")
    if unseen or audit_pulse.is_silent(site.pulse):
        why = f"OVN's rows at {site.name}: {unseen or 'a database does not answer'}"
        rulings.append(Ruling(check=f"OVN's rows at {site.name}", answer=Answer.NOT_SEEN, why=why))
    return seen, rulings


def _check_silent(silent: Mapping[SiteName, str]) -> Iterator[Verdict]:
    for site, reason in silent.items():
        yield Verdict(
            code="site.not_audited",
            severity=Severity.UNKNOWN,
            subject=Subject(site, "site", site),
            message="site not audited",
            evidence=reason,
            remedy=_advise_of_silent(reason).format(site),
        )


def _advise_of_silent(reason: str) -> str:
    if reason == DISABLED:
        return _DISABLED
    return _OTHER_FORM if reason.startswith(ODD) else _SILENT


def _check_recovered(tiers: Iterable[Holdings]) -> Iterator[Verdict]:
    """A tier that was restored gives nothing out until it knows what was given out since."""
    for tier in tiers:
        if not tier.epoch.get("recovered", True):
            stands_down = bool(tier.epoch.get("stands_down"))
            yield Verdict(
                code="tier.recovering",
                severity=Severity.BROKEN if stands_down else Severity.DEGRADED,
                subject=Subject(tier.name, "tier", tier.name),
                message="gives out no addresses",
                evidence=str(tier.epoch.get("reason") or "its database was restored"),
                remedy="It goes on by itself once all have registered; `isthmus status` says who "
                "is waited for, and what to do where this stays.",
            )


def _check_jobs(jobs: Iterable[Job]) -> Iterator[Verdict]:
    for job in jobs:
        if job.state is JobState.PARKED:
            yield Verdict(
                code="job.parked",
                severity=Severity.BROKEN,
                subject=Subject(job.key.id, job.key.type.value, job.key.lane),
                message="refused by the site",
                evidence=job.last_error or "no reason was kept",
                remedy=f"Remove the reason, then `isthmus job retry {job.id}`.",
            )


def _check_duplicates(central: Holdings, tiers: Sequence[Holdings]) -> Iterator[Verdict]:
    """No address and no MAC of a network belongs to two ports, in whichever tiers they are."""
    holders: dict[tuple[str, str], dict[str, str]] = {}
    stretched = set().union(*(tier.datapaths for tier in tiers))
    for tier in tiers:
        for port_id, port in tier.ports.items():
            if port["network_id"] not in stretched:
                continue
            for name in _addresses(port):
                holders.setdefault((str(port["network_id"]), name), {})[port_id] = tier.name
    for (network_id, name), ports in sorted(holders.items()):
        if len(ports) > 1:
            yield Verdict(
                code="port.address_twice",
                severity=Severity.BROKEN,
                subject=Subject(sorted(ports)[0], "port", ", ".join(sorted(set(ports.values())))),
                message="address given twice",
                evidence=f"{name} of network {network_id} is that of ports "
                + ", ".join(f"{port} ({tier})" for port, tier in sorted(ports.items())),
                remedy="Delete one of the ports, or change its address: "
                + say_deletions(central.ports, ports)
                + ".",
            )


def _addresses(port: Row) -> Iterator[str]:
    yield str(port["mac_address"])
    for one in port["fixed_ips"] or ():
        yield str(one["ip_address"])


def _check_homes(central: Holdings, sites: Mapping[SiteName, Holdings]) -> Iterator[Verdict]:
    """A port of a stretched network is at one site only."""
    homes: dict[str, list[SiteName]] = {}
    for site in sites.values():
        for port_id, port in site.ports.items():
            if port["network_id"] in central.datapaths and not is_local(port, site):
                homes.setdefault(port_id, []).append(site.name)
    known = {port: site for kind, port, site in central.mappings if kind == ResourceType.PORT}
    for port_id, where in sorted(homes.items()):
        if len(where) > 1:
            home = known.get(port_id, "no site")
            yield Verdict(
                code="port.two_homes",
                severity=Severity.BROKEN,
                subject=Subject(port_id, "port", ", ".join(sorted(where))),
                message="port at two sites",
                evidence=f"{port_id} is at {' and '.join(sorted(where))}; central has it at {home}",
                remedy="Delete it where no server uses it, with an entry of clouds.yaml for "
                f"that site: `openstack --os-cloud SITE port delete {port_id}`.",
            )


def _check_site(central: Holdings, site: Holdings) -> Iterator[Verdict]:
    busy = central.backlog.get(site.name, 0) + site.backlog.get(CENTRAL, 0)
    severity = Severity.DEGRADED if busy else Severity.BROKEN
    here = list_mapped(ResourceType.NETWORK, central, site.name) & central.networks.keys()
    for kind, resource in RESOURCES.items():
        wanted, held = find_compared(resource, central, site, here)
        for row_id, problem, evidence in _compare(resource, wanted, held):
            yield Verdict(
                code=f"{kind}.{problem}",
                severity=severity,
                subject=Subject(row_id, kind, site.name),
                message=f"{kind} {_PROBLEMS[problem]}",
                evidence=evidence,
                remedy=_choose_remedy(kind, problem).format(site.name),
            )


def _choose_remedy(kind: ResourceType, problem: str) -> str:
    """Return the remedy of a difference: a site makes ports of its own, and nothing else."""
    if problem != "extra":
        return SENT
    return REPORTED if kind is ResourceType.PORT else GOES


def _compare(
    resource: Resource, wanted: Mapping[str, Row], held: Mapping[str, Row]
) -> Iterator[tuple[str, str, str]]:
    """List what differs: the id, which of `_PROBLEMS`, and the evidence."""
    for row_id in sorted(wanted.keys() - held.keys()):
        yield row_id, "missing", "only at central"
    for row_id in sorted(held.keys() - wanted.keys()):
        yield row_id, "extra", "only here"
    for row_id in sorted(wanted.keys() & held.keys()):
        both = wanted[row_id].keys() & held[row_id].keys()  # one tier may be older
        differing = [
            f"{where}: central {central!r}, here {here!r}"
            for name in resource.compared
            if name in both
            for where, central, here in _differ(name, wanted[row_id][name], held[row_id][name])
        ]
        if differing:
            yield row_id, "different", _cut("; ".join(differing))


def _cut(evidence: str) -> str:
    """Bound what is shown of a difference: a site may hold anything."""
    if len(evidence) <= _MOST_SHOWN:
        return evidence
    return f"{evidence[:_MOST_SHOWN]}... ({len(evidence)} characters)"


def _differ(name: str, central: Any, here: Any) -> Iterator[tuple[str, Any, Any]]:
    """List what differs of a value, as small as it is: where, and what either tier has there."""
    if (central == here) if name in ORDERED else (_plain(central) == _plain(here)):
        return
    if isinstance(central, dict) and isinstance(here, dict):
        for key in sorted(central.keys() | here.keys()):
            yield from _differ(f"{name}.{key}", central.get(key), here.get(key))
    elif isinstance(central, list) and isinstance(here, list):
        there, plain = [_plain(one) for one in here], [_plain(one) for one in central]
        missing = [one for one in central if _plain(one) not in there]
        extra = [one for one in here if _plain(one) not in plain]
        # Where neither has what the other has not, one has the same twice, or in another order.
        yield (name, missing, extra) if missing or extra else (name, central, here)
    else:
        yield name, central, here


def _plain(value: Any) -> Any:
    """Spell what has parts, with lists sorted: Neutron returns most of them in any order."""
    return _spell(value) if isinstance(value, list | dict) else value


def _spell(value: Any) -> str:
    """Spell a value; not longer than it is, however deep a site nests it."""
    if isinstance(value, list):
        return f"[{','.join(sorted(map(_spell, value)))}]"
    if isinstance(value, dict):
        return f"{{{','.join(sorted(f'{key!r}:{_spell(one)}' for key, one in value.items()))}}}"
    return repr(value)
