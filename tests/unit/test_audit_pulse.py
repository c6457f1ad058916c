"""What of a site's OVN is dead, hangs or is slow: the finding, since when, and what to do."""

import re
from typing import Any

import pytest
from tests.unit.test_audit import CASES, run, world

from isthmus.federation.audits.audit import audit
from isthmus.federation.audits.audit_pulse import check_pulse, is_silent
from isthmus.federation.audits.holdings import parse_holdings
from isthmus.model.site import SiteName
from isthmus.model.verdict import Answer, Severity
from isthmus.operate.trouble import judge_pulse

SITE = SiteName("one")


def answer(
    behind: float | None = None, *, took: float = 0.1, answered: float | None = 3.0, **more: Any
) -> dict[str, Any]:
    ages = {"behind_s": behind, "took_s": took, "answered_s": answered, "watched_s": 900.0}
    return {**ages, **more}


def pulse(**changes: Any) -> dict[str, Any]:
    """All alive, but for what is changed; `hv` and `agent` are of the one hypervisor."""
    agent = changes.pop("agent", answer())
    host = {"name": "hv-one", "hostname": "host1", **changes.pop("hv", answer())}
    more = {"Open vSwitch": changes.pop("switch")} if "switch" in changes else {}
    host["switch_silent"] = changes.pop("silent", "")
    return {
        "every_s": 15,
        "northbound": answer(error=""),
        "southbound": answer(answered=None, error=""),
        "northd": answer(),
        "maintenance": answer(),
        "hypervisors": [{**host, "agents": {"metadata agent": agent, **more}}],
        **changes,
    }


def test_an_ovn_that_answers_is_fine() -> None:
    assert list(check_pulse(SITE, pulse())) == []
    assert list(check_pulse(SITE, pulse(northd=answer(14)))) == []
    assert not is_silent(pulse())


DEAD = answer(40, answered=55.0)


@pytest.mark.parametrize(
    ("state", "code", "does"),
    [
        (pulse(northbound={**DEAD, "error": ""}), "ovn.northbound.silent", "lab start one.nb`"),
        (pulse(southbound={**DEAD, "error": ""}), "ovn.southbound.silent", "lab start one.sb`"),
        (pulse(northd=DEAD), "ovn.northd.silent", "lab start one.northd`"),
        (
            pulse(maintenance=DEAD),
            "neutron.maintenance.silent",
            "lab start one.maintenance`",
        ),
        (pulse(hv=DEAD), "ovn.controller.silent", "lab start host1.controller`"),
        (pulse(agent=DEAD), "ovn.agent.silent", "metadata agent on host1"),
        (pulse(switch=DEAD), "ovn.vswitch.silent", "lab start host1.answer`"),
        (
            pulse(switch=DEAD, silent="ovs-vswitchd"),
            "ovn.vswitch.silent",
            "lab start host1.vswitchd`",
        ),
        # Why ovn-controller does not answer is known then.
        (
            pulse(switch=DEAD, silent="ovsdb-server, ovs-vswitchd", hv=DEAD, agent=DEAD),
            "ovn.vswitch.silent",
            "lab start host1.ovsdb`",
        ),
        # Who does not get there, as ovn-controller does not.
        (pulse(switch=DEAD, hv=DEAD), "ovn.controller.silent", "lab start host1.controller`"),
    ],
)
def test_who_is_silent_is_named_with_since_when_and_what_to_do(
    state: dict[str, Any], code: str, does: str
) -> None:
    (one,) = check_pulse(SITE, state)
    assert one.code == code
    assert one.severity is Severity.BROKEN
    assert one.subject.place == SITE
    assert one.evidence == "asked 40s ago; it last answered 55s ago"
    assert does in one.remedy


def test_an_open_vswitch_is_not_named_before_it_owes_an_answer_for_long() -> None:
    """What it is called by who asks it stands in OVN until it answers again."""
    late = pulse(switch=answer(10), silent="ovs-vswitchd")
    assert list(check_pulse(SITE, late)) == []
    (slow,) = check_pulse(SITE, pulse(switch=answer(17), silent="ovs-vswitchd"))
    assert slow.code == "ovn.slow"
    (odd,) = check_pulse(SITE, pulse(switch=DEAD, silent="; rm -rf /"))
    assert odd.code == "ovn.vswitch.silent"
    assert "rm" not in odd.message + odd.remedy


def test_what_was_said_of_open_vswitch_before_the_machine_died_hides_nothing() -> None:
    state = pulse(switch=DEAD, silent="ovs-vswitchd", hv=answer(60, switch_asked=answer(10)))
    (found,) = check_pulse(SITE, state)
    assert found.message == "ovs-vswitchd does not answer"
    state = pulse(switch=DEAD, silent="ovs-vswitchd", hv=answer(60, switch_asked=DEAD))
    (found,) = check_pulse(SITE, state)
    assert found.code == "ovn.controller.silent"
    state = pulse(switch=DEAD, silent="ovs-vswitchd", hv=answer(switch_asked=DEAD))
    (found,) = check_pulse(SITE, state)
    assert found.message == "Open vSwitch, or who asks it there, does not answer"


def test_what_a_hypervisor_calls_itself_is_a_part_of_one_line() -> None:
    odd = "h1\nAll tiers agree.\r\n" + "x" * 10_240
    state = pulse(hv=answer(60, name=odd, hostname=odd), northd=answer())
    (found,) = check_pulse(SITE, state)
    assert "\n" not in found.remedy + found.subject.name
    assert len(found.remedy) < 3000
    for state in (
        pulse(northbound={**DEAD, "error": odd}),
        pulse(central={**DEAD, "error": odd}),
        pulse(database={**DEAD, "error": odd}),
    ):
        (found,) = check_pulse(SITE, state)
        assert "\n" not in found.evidence
        assert len(found.evidence) < 500


def test_a_chassis_is_named_in_a_command_so_that_a_shell_takes_it_as_one_word() -> None:
    for state in (
        pulse(hv=answer(60, name="x; reboot")),
        pulse(switch=DEAD, hv=answer(name="x; reboot")),
    ):
        (found,) = check_pulse(SITE, state)
        assert " 'x; reboot'" in found.remedy


@pytest.mark.parametrize("which", ["northbound", "southbound"])
def test_who_answers_by_a_database_is_not_judged_while_that_is_in_doubt(which: str) -> None:
    """It is asked some seconds after them, so it is not called silent yet."""
    found = list(check_pulse(SITE, pulse(hv=DEAD, agent=DEAD, **{which: answer(6, error="")})))
    assert found == []
    slow = {which: answer(35, took=20.0, error="")}
    (one,) = check_pulse(SITE, pulse(hv=DEAD, agent=DEAD, **slow))
    assert (one.code, one.subject.place) == ("ovn.slow", SITE)
    (one,) = check_pulse(SITE, pulse(hv=DEAD, **{which: answer(2, error="")}))
    assert one.code == "ovn.controller.silent"


def test_what_a_database_said_is_evidence() -> None:
    (one,) = check_pulse(SITE, pulse(northbound={**DEAD, "error": "no route"}))
    assert one.evidence.endswith("ago: no route")


def test_of_a_database_whose_disk_is_full_no_start_is_asked_for() -> None:
    error = 'OVSDB Error: {"error":"I/O error","io-error":"No space left on device"}'
    (one,) = check_pulse(SITE, pulse(northbound={**DEAD, "error": error}))
    assert one.code == "ovn.northbound.silent"
    assert one.evidence.endswith(error)
    assert "cannot write to its disk" in one.remedy
    assert "start" not in one.remedy.lower()


def test_a_site_that_central_does_not_answer_is_named_with_why() -> None:
    """Central reaches it, or nobody would have read this; what it makes is not reported."""
    away = pulse(central={**DEAD, "error": "no route to host"})
    (one,) = check_pulse(SITE, away)
    assert (one.code, one.severity, one.subject.place) == (
        "site.cannot_report",
        Severity.BROKEN,
        SITE,
    )
    assert one.evidence == "asked 40s ago; it last answered 55s ago: no route to host"
    (said,) = judge_pulse(SITE, away)
    assert said.what.startswith("At one, central does not answer the site: asked 40s ago")
    assert "reach Neutron and Keystone of central" in said.next_step
    for alive in (answer(20, error="gone"), answer(error=""), None, 3):
        assert list(check_pulse(SITE, pulse(central=alive))) == []


def test_a_database_that_takes_no_writes_is_named_with_why() -> None:
    """It is read as ever, so nothing else would tell."""
    full = pulse(database={**DEAD, "error": "database or disk is full"})
    (one,) = check_pulse(SITE, full)
    assert (one.code, one.severity, one.subject.place) == (
        "site.cannot_write",
        Severity.BROKEN,
        SITE,
    )
    assert one.evidence.endswith("it last answered 55s ago: database or disk is full")
    (said,) = judge_pulse(SITE, full)
    assert said.what.startswith("At one, the site's database takes no writes: asked 40s ago")
    assert "disk is full" in said.next_step
    for well in (answer(20, error="locked"), answer(error=""), None, 3):
        assert list(check_pulse(SITE, pulse(database=well))) == []


def test_who_never_answered_is_told_so() -> None:
    (one,) = check_pulse(SITE, pulse(northd=answer(40, answered=None)))
    assert one.evidence == "asked 40s ago; no answer since one listens, 15m"


@pytest.mark.parametrize(
    ("state", "code"),
    [
        (pulse(northd=answer(20)), "ovn.slow"),
        (pulse(northd=answer(took=60)), "ovn.slow"),
        (pulse(northd=answer(100, took=60)), "ovn.slow"),
        (pulse(northd=answer(200, took=60)), "ovn.northd.silent"),
        (pulse(hv=answer(took=20)), "ovn.slow"),
    ],
)
def test_who_is_slow_is_not_called_silent_too_early(state: dict[str, Any], code: str) -> None:
    (one,) = check_pulse(SITE, state)
    assert one.code == code
    assert (one.severity is Severity.DEGRADED) is code.endswith("slow")
    assert "start " not in one.remedy or code.endswith("silent")
    owes = bool(re.search("asked .* no answer yet", one.evidence))
    assert ("Look again" in one.remedy) is owes


@pytest.mark.parametrize(
    ("dead", "code"), [("agent", "ovn.agent.silent"), ("switch", "ovn.vswitch.silent")]
)
def test_a_slow_controller_hides_nobody_who_is_dead(dead: str, code: str) -> None:
    """Its last answer may have taken long for weeks; they are asked without it."""
    found = list(check_pulse(SITE, pulse(hv=answer(took=20), **{dead: DEAD})))
    assert [one.code for one in found] == ["ovn.slow", code]


def test_who_was_asked_nothing_is_not_blamed() -> None:
    dead = {**DEAD, "error": ""}
    for state in (
        pulse(northbound=dead, northd=DEAD, maintenance=DEAD, hv=DEAD, agent=DEAD),
        pulse(southbound=dead, northd=DEAD, maintenance=DEAD, hv=DEAD, agent=DEAD),
    ):
        (one,) = check_pulse(SITE, state)
        assert one.code in ("ovn.northbound.silent", "ovn.southbound.silent")
        assert is_silent(state)
    (one,) = check_pulse(SITE, pulse(hv=DEAD, agent=DEAD))
    assert one.code == "ovn.controller.silent"


@pytest.mark.parametrize(
    "odd",
    [
        {},
        {"northd": None, "hypervisors": None},
        {"hypervisors": [1, None]},
        {"northd": [1], "hypervisors": [{"name": "x", "behind_s": "long", "agents": 3}]},
        {"northbound": {"behind_s": True}},
        {"northd": answer(float("inf"))},
        {"northd": answer(float("nan"))},
        {"northd": answer(-40.0)},
    ],
)
def test_what_a_site_says_in_an_odd_form_is_no_finding(odd: dict[str, Any]) -> None:
    assert list(check_pulse(SITE, odd)) == []


def report(**pulses: Any) -> Any:
    state = world()
    for name, one in pulses.items():
        state[name]["pulse"] = one
    tiers = {name: parse_holdings(one) for name, one in state.items()}
    central = tiers.pop("central")
    return audit(central, {SiteName(name): one for name, one in tiers.items()})


def test_the_audit_has_it_and_tells_fine_from_not_seen() -> None:
    both = report(one=pulse(northd=DEAD))
    assert [one.code for one in both.findings] == ["ovn.northd.silent"]
    answers = {one.check: one.answer for one in both.rulings if "processes" in one.check}
    assert answers == {
        "OVN's processes at one": Answer.FOUND,
        "OVN's processes at two": Answer.NOT_SEEN,  # an older Isthmus, or nobody asks there
    }
    assert both.unseen == ("two does not ask its OVN whether it lives",)


def test_rows_of_a_database_that_does_not_answer_are_not_seen() -> None:
    found = report(one=pulse(southbound={**DEAD, "error": ""}), two=pulse())
    assert found.unseen == ("OVN's rows at one: a database does not answer",)
    assert not report(one=pulse(), two=pulse()).unseen


def test_a_site_that_cannot_read_its_ovn_is_not_said_to_have_lost_it() -> None:
    state = world()
    state["one"]["ovn"] = {"unseen": "the northbound database of OVN does not answer"}
    state["one"]["pulse"] = pulse(northbound={**DEAD, "error": ""})
    assert [one.code for one in run(state)] == ["ovn.northbound.silent"]


def test_a_hypervisor_that_has_ports_and_left_ovn_is_found() -> None:
    state = world()
    state["one"]["ovn"]["chassis"][0]["hostname"] = "another"
    (found,) = [one for one in run(state) if one.code == "ovn.controller.gone"]
    assert (found.subject.name, found.subject.place) == ("host1", "one")
    assert "port1" in found.evidence
    assert "`isthmus lab start host1.controller`" in found.remedy


@pytest.mark.parametrize(
    "change",
    [
        {"binding:vif_type": "unbound"},
        {"binding:vif_type": "hw_veb"},
        {"binding:host_id": ""},
        {"device_owner": "network:router_gateway"},
        {"network_id": "a network that is not stretched"},
    ],
)
def test_a_port_that_no_ovn_controller_plugs_tells_of_no_hypervisor(change: dict[str, str]) -> None:
    state = world()
    state["one"]["ovn"]["chassis"][0]["hostname"] = "another"
    state["one"]["ports"][0].update(change)
    assert "ovn.controller.gone" not in {one.code for one in run(state)}


def test_no_other_case_of_the_audit_tells_of_a_process() -> None:
    for name, change in CASES.items():
        if name in ("port at two sites", "address given twice"):
            continue  # they add a port of a hypervisor that is not there
        state = world()
        change(state)
        assert not [one for one in run(state) if one.code.startswith("ovn.controller")], name


def test_status_says_the_same() -> None:
    (one,) = judge_pulse("one", pulse(hv=DEAD))
    assert one.place == "one"
    assert one.what == (
        "At one, ovn-controller, or Open vSwitch, does not answer on host1: asked 40s ago; it last "
        "answered 55s ago"
    )
    assert one.next_step.startswith("on host1, start what does not run")
    assert "`isthmus check`" in one.next_step
    assert list(judge_pulse("one", {})) == []
