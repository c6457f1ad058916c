"""The part of the audit that tells who does not answer a site: OVN, central, its database. Pure.

What it is given is ages in seconds by the site's own clock (`isthmus.dataplane.alive.pulse`). Who
depends on one that is silent is not named beside it: it was asked nothing.
"""

import shlex
from collections.abc import Iterator, Mapping, Sequence

from isthmus.federation.audits.holdings import Holdings, Row
from isthmus.model.dataplane.ovn import AWAY_S, SWITCH, SWITCH_KEY
from isthmus.model.form import format_age
from isthmus.model.site import CENTRAL, SiteName
from isthmus.model.verdict import Severity, Subject, Verdict

#: Who has owed an answer so long, or took so long to give the last one, is slow, in seconds; an
#: idle OVN answers within one.
SLOW_S = 15.0
#: Who has owed one so long is silent: with questions every 15 s, and one more to SB where it is in
#: doubt, that is said within 50 s of its death.
SILENT_S = 20.0
#: Who is known to be slow is given a multiple of what it took for its last answer.
_PATIENCE = 3.0

#: More seconds than that nobody has waited: a site may say anything.
_MOST_S = 1e10
#: More characters no name and no error of use has: a hypervisor may write anything into SB.
_MOST_CHARACTERS = 255

#: What each is called in a lab, and the code of its silence.
_DATABASES = {
    "northbound": ("nb", "ovn.northbound.silent"),
    "southbound": ("sb", "ovn.southbound.silent"),
}
_START_DATABASE = (
    "Start ovsdb-server of the {word} where the databases of {site} are (in a lab, `isthmus lab "
    "start {site}.{short}`); one that hangs is killed first (`isthmus lab kill {site}.{short}`)."
)
_FREE_DISK = (
    "The {word} of {site} runs and cannot write to its disk: see whether that is full, or its file "
    "system read-only. It goes on by itself once it can."
)
#: What a database says then (RFC 7047).
_CANNOT_WRITE = "I/O error"
_START_NORTHD = (
    "Start ovn-northd where OVN of {site} runs (in a lab, `isthmus lab start {site}.northd`); one "
    "that hangs is killed first (`isthmus lab kill {site}.northd`)."
)
_START_MAINTENANCE = (
    "Start neutron-ovn-maintenance-worker where Neutron of {site} runs (in a lab, `isthmus lab "
    "start {site}.maintenance`); one that hangs is killed first (`isthmus lab kill "
    "{site}.maintenance`). What OVN loses meanwhile is not brought back."
)
_START_CONTROLLER = (
    "On {host}, start what does not run of ovsdb-server, ovs-vswitchd and ovn-controller (in a "
    "lab, `isthmus lab start {host}.ovsdb`, `isthmus lab start {host}.vswitchd` and `isthmus lab "
    "start {host}.controller`); what hangs is killed first (`isthmus lab kill {host}.ovsdb`, "
    "`isthmus lab kill {host}.vswitchd`, `isthmus lab kill {host}.controller`). Which it is, "
    "`isthmus check` tells, on a real cloud with `--ssh`. A hypervisor that will not come back: "
    "ovn-sbctl chassis-del {name}"
)
_START_AGENT = "Restart the {what} on {host}, and see its log."
#: Programs of Open vSwitch, and what they are called in a lab.
_IN_LAB = {"ovsdb-server": "ovsdb", "ovs-vswitchd": "vswitchd"}
_START_SWITCH = (
    "On {host}, start {program} (in a lab, `isthmus lab start {host}.{short}`); one that hangs is "
    "killed first (`isthmus lab kill {host}.{short}`)."
)
_START_ANSWERER = (
    "On {host}, see whether `ovs-vsctl show` and `ovs-appctl version` answer, and start "
    "isthmus-answer-switch, which asks the same (in a lab, `isthmus lab start {host}.answer`); one "
    "that hangs is killed first (`isthmus lab kill {host}.answer`). Where it is to run no more: "
    "ovn-sbctl remove Chassis_Private {name} external_ids "
    """'"{key}"' '"{key}-silent"' '"{key}-asked"'"""
)
_REACH_CENTRAL = (
    "See that the hosts of {site} reach Neutron and Keystone of central, and that the user in its "
    "[isthmus] is enabled there and has that password; the log of Neutron at {site} says more."
)
_LET_WRITE = (
    "See the database of Neutron of {site}: whether its disk is full, its file system is "
    "read-only, or somebody holds a lock in it. The site goes on by itself behind that."
)
_GONE = (
    "Start ovn-controller on {host} (in a lab, `isthmus lab start {host}.controller`). Where it "
    "will not come back, delete the ports, or have their servers moved."
)
_BUSY = "See the load where it runs, and its log; nothing has to be started."
_LATE = (
    "Look again in a minute: if it hangs it has not answered by then, and what to do is said. "
    "Else it is slow: see the load where it runs, and its log."
)
#: How Neutron says that a port is plugged into Open vSwitch.
_PLUGGED = frozenset({"ovs", "vhostuser"})
#: Owners of ports that Neutron makes for itself, and has nobody plug.
_OF_NEUTRON = "network:"


def check_pulse(site: SiteName, pulse: Row) -> Iterator[Verdict]:
    """Tell what of a site's OVN owes an answer, and whether central does.

    Args:
        site: its name.
        pulse: the part "pulse" of its holdings.
    """
    yield from _check_central(site, pulse.get("central"))
    yield from _check_writes(site, pulse.get("database"))
    north = list(_check_database(site, pulse, "northbound"))
    south = list(_check_database(site, pulse, "southbound"))
    yield from (*north, *south)
    if any(one.severity is Severity.BROKEN for one in (*north, *south)) or _is_in_doubt(pulse):
        return
    subject = Subject("ovn-northd", "", site)
    remedy = _START_NORTHD.format(site=site)
    yield from _check(pulse.get("northd"), subject, "ovn.northd.silent", "northd", remedy)
    yield from _check(
        pulse.get("maintenance"),
        Subject("maintenance worker", "", site),
        "neutron.maintenance.silent",
        "Neutron's maintenance worker",
        _START_MAINTENANCE.format(site=site),
    )
    hosts = pulse.get("hypervisors")
    for host in hosts if isinstance(hosts, list) else ():
        if isinstance(host, Mapping):
            yield from _check_hypervisor(site, host)


def is_silent(pulse: Row) -> bool:
    """Tell whether a database does not answer: then what was read of OVN is of an earlier time."""
    return any(_is_silent(pulse.get(key)) for key in _DATABASES)


def check_gone(site: Holdings) -> Iterator[Verdict]:
    """Find hypervisors that have ports of stretched networks and are not in OVN any more.

    One that is stopped takes its row away.
    """
    if "chassis" not in site.ovn:
        return
    there = {one["hostname"] for one in site.ovn.get("chassis", ()) if not one.get("site")}
    gone: dict[str, list[str]] = {}
    for port_id, port in site.ports.items():
        host = port.get("binding:host_id")
        owner = str(port.get("device_owner") or "")
        plugged = port.get("binding:vif_type") in _PLUGGED and not owner.startswith(_OF_NEUTRON)
        if plugged and host and host not in there and port["network_id"] in site.datapaths:
            gone.setdefault(host, []).append(port_id)
    for host, ports in sorted(gone.items()):
        yield Verdict(
            code="ovn.controller.gone",
            severity=Severity.BROKEN,
            subject=Subject(host, "hypervisor", site.name),
            message="hypervisor is not in OVN",
            evidence=f"ports are bound to it, and there is no chassis of that name: {_name(ports)}",
            remedy=_GONE.format(host=host),
        )


def _name(ports: list[str]) -> str:
    return sorted(ports)[0] + (f" and {len(ports) - 1} more" if len(ports) > 1 else "")


def _check_database(site: SiteName, pulse: Row, key: str) -> Iterator[Verdict]:
    short, code = _DATABASES[key]
    found, word = pulse.get(key), f"{key} database"
    error = _word(found.get("error") or "") if isinstance(found, Mapping) else ""
    form = _FREE_DISK if _CANNOT_WRITE in error else _START_DATABASE
    remedy = form.format(word=word, site=site, short=short)
    for one in _check(found, Subject(word, "", site), code, word, remedy):
        yield one if not error else _add(one, error)


def _check_central(site: SiteName, found: object) -> Iterator[Verdict]:
    """Judge whether the site reaches central; who asks central has heard from it just now."""
    if not isinstance(found, Mapping) or not _is_silent(found):
        return
    verdict = Verdict(
        code="site.cannot_report",
        severity=Severity.BROKEN,
        subject=Subject(CENTRAL, "", site),
        message="central does not answer the site",
        evidence=f"asked {format_age(_seconds(found, 'behind_s'))} ago; {_say_last(found)}",
        remedy=_REACH_CENTRAL.format(site=site),
    )
    error = found.get("error")
    yield verdict if not error else _add(verdict, _word(error))


def _check_writes(site: SiteName, found: object) -> Iterator[Verdict]:
    """Judge whether the site's own database takes writes; it is read as ever where it does not."""
    if not isinstance(found, Mapping) or not _is_silent(found):
        return
    verdict = Verdict(
        code="site.cannot_write",
        severity=Severity.BROKEN,
        subject=Subject("database of Neutron", "", site),
        message="the site's database takes no writes",
        evidence=f"asked {format_age(_seconds(found, 'behind_s'))} ago; {_say_last(found)}",
        remedy=_LET_WRITE.format(site=site),
    )
    error = found.get("error")
    yield verdict if not error else _add(verdict, _word(error))


def _add(verdict: Verdict, error: str) -> Verdict:
    return Verdict(
        code=verdict.code,
        severity=verdict.severity,
        subject=verdict.subject,
        message=verdict.message,
        evidence=f"{verdict.evidence}: {error}",
        remedy=verdict.remedy,
    )


def _check_hypervisor(site: SiteName, host: Row) -> Iterator[Verdict]:
    """Judge a hypervisor; where it is known that Open vSwitch is silent, ovn-controller is not."""
    hostname = _word(host.get("hostname") or host.get("name"))
    said = host.get("agents")
    agents = dict(said) if isinstance(said, Mapping) else {}
    name = shlex.quote(_word(host.get("name")))  # as it was written into SB, for a shell
    named = _list_named(host)
    switch = list(_check_switch(site, hostname, name, agents.pop(SWITCH, None), named))
    if named and any(one.severity is Severity.BROKEN for one in switch):
        yield from switch
        return
    found = list(
        _check(
            host,
            Subject(hostname, "hypervisor", site),
            "ovn.controller.silent",
            "ovn-controller, or Open vSwitch,",
            _START_CONTROLLER.format(host=hostname, name=name),
        )
    )
    yield from found
    if any(one.severity is Severity.BROKEN for one in found):
        return
    yield from switch
    for what, agent in ((_word(each), one) for each, one in agents.items()):
        yield from _check(
            agent,
            Subject(hostname, "hypervisor", site),
            "ovn.agent.silent",
            what,
            _START_AGENT.format(what=what, host=hostname),
        )


def _list_named(host: Row) -> list[str]:
    """List the programs of Open vSwitch that are said to be silent, unless that is of long ago."""
    if _is_silent(host.get("switch_asked")):
        return []
    return [one for one in str(host.get("switch_silent") or "").split(", ") if one in _IN_LAB]


def _check_switch(
    site: SiteName, host: str, name: str, found: object, named: Sequence[str]
) -> Iterator[Verdict]:
    """Judge Open vSwitch of a hypervisor, by who asks it there.

    Args:
        site: whose hypervisor it is.
        host: its name.
        name: that of its chassis, for a shell.
        found: since when an answer is owed.
        named: the programs that are silent, where that is known.
    """
    remedies = [_START_SWITCH.format(host=host, program=one, short=_IN_LAB[one]) for one in named]
    yield from _check(
        found,
        Subject(host, "hypervisor", site),
        "ovn.vswitch.silent",
        named[0] if named else f"{SWITCH}, or who asks it there,",
        " ".join(remedies) or _START_ANSWERER.format(host=host, name=name, key=SWITCH_KEY),
    )


def _check(found: object, subject: Subject, code: str, who: str, remedy: str) -> Iterator[Verdict]:
    """Judge one that is to answer."""
    if not isinstance(found, Mapping):
        return
    behind, took = _seconds(found, "behind_s"), _seconds(found, "took_s")
    if _is_silent(found):
        yield Verdict(
            code=code,
            severity=Severity.BROKEN,
            subject=subject,
            message=f"{who} does not answer",
            evidence=f"asked {format_age(behind)} ago; {_say_last(found)}",
            remedy=remedy,
        )
    elif max(behind or 0.0, took or 0.0) > SLOW_S:
        yield Verdict(
            code="ovn.slow",
            severity=Severity.DEGRADED,
            subject=subject,
            message=f"{who} answers slowly",
            evidence=f"asked {format_age(behind)} ago, no answer yet; {_say_last(found)}"
            if (behind or 0.0) > SLOW_S
            else f"its last answer took {format_age(took)}",
            remedy=_LATE if (behind or 0.0) > SLOW_S else _BUSY,
        )


def _is_in_doubt(pulse: Row) -> bool:
    """Tell whether a database has yet to answer: who answers by it cannot be judged."""
    found = map(pulse.get, _DATABASES)
    behind = [_seconds(one, "behind_s") for one in found if isinstance(one, Mapping)]
    return any((one or 0.0) > AWAY_S for one in behind)


def _is_silent(found: object) -> bool:
    if not isinstance(found, Mapping):
        return False
    behind = _seconds(found, "behind_s") or 0.0
    return behind > max(SILENT_S, _PATIENCE * (_seconds(found, "took_s") or 0.0))


def _say_last(found: Row) -> str:
    answered, watched = _seconds(found, "answered_s"), _seconds(found, "watched_s")
    if answered is not None:
        return f"it last answered {format_age(answered)} ago"
    return f"no answer since one listens, {format_age(watched)}"


def _word(said: object) -> str:
    """Return what somebody else has written as a part of one line."""
    text = " ".join(str(said).split())
    return text if len(text) <= _MOST_CHARACTERS else f"{text[:_MOST_CHARACTERS]}..."


def _seconds(found: Mapping[str, object], key: str) -> float | None:
    value = found.get(key)
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return float(value) if 0 <= value < _MOST_S else None
