"""Facts: each sample parses, and an absent fact says why it is absent."""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from isthmus.facts import registry, script
from isthmus.facts.dump import HostFacts, parse_facts
from isthmus.facts.fact import Absent, Fact, Why
from isthmus.facts.host import oslo_conf, ovs, services
from isthmus.model.verdict import Answer
from isthmus.nfv.check.host import check_host
from isthmus.nfv.check.live import check_facts
from isthmus.nfv.check.state import SOURCES, parse_state
from isthmus.testing.nfv.nfv_state import HEALTHY

RUNNING = "9\t9\t0\t0\tovs-vswitchd\tovs-vswitchd\n"
SOCKET = "ovs-vsctl: unix:/var/run/openvswitch/db.sock: database connection failed "
#: what a command of Open vSwitch complained about, what runs: why the fact is absent
COMPLAINTS: dict[str, tuple[str, str, Why]] = {
    "no tool": ("sh: 1: ovs-vsctl: not found", "", Why.NOT_INSTALLED),
    "no tool, but it runs": ("sh: 1: ovs-vsctl: not found", RUNNING, Why.OUT_OF_REACH),
    "no container": ("exec: ovs-vsctl: No such file or directory", "", Why.NOT_INSTALLED),
    "no socket": (f"{SOCKET}(No such file or directory)", "", Why.NOT_RUNNING),
    "nobody listens": (f"{SOCKET}(Connection refused)", "", Why.NOT_RUNNING),
    "not root": (f"{SOCKET}(Permission denied)", RUNNING, Why.NOT_PERMITTED),
    "no bus": ("Failed to connect to bus: Host is down", "", Why.NOT_RUNNING),
    "something else": ("ovs-vsctl: Open_vSwitch has no column x", RUNNING, Why.FAILED),
}


def family(fact: Fact[Any]) -> str:
    return fact.name


def test_names_are_unique() -> None:
    names = [fact.name for fact in registry.HOST]
    assert len(names) == len(set(names))
    assert set(SOURCES) <= set(names)


@pytest.mark.parametrize("fact", [one for one in registry.HOST if one.sample], ids=family)
def test_a_sample_says_something(fact: Fact[Any]) -> None:
    assert fact.parse_output(fact.sample)
    assert HEALTHY[fact.name] == fact.parse_output(fact.sample)


def test_a_fact_that_no_field_holds_has_a_sample() -> None:
    """It is what stands for the fact on the healthy hosts of the tables."""
    fieldless = [one for one in registry.HOST if one.sources[0].key and one.name not in SOURCES]
    assert [one.name for one in fieldless if not one.sample] == ["pmd_stats"]


@pytest.mark.parametrize("case", COMPLAINTS)
def test_why_a_fact_is_absent(case: str) -> None:
    said, threads, why = COMPLAINTS[case]
    seen = HostFacts(commands={"threads": threads}, failures={"ovs-interfaces": said})
    absent = ovs.INTERFACES.read(seen)
    assert isinstance(absent, Absent)
    assert absent.why is why
    assert said in absent.detail
    assert absent.is_nothing_there == (why in {Why.NOT_INSTALLED, Why.NOT_RUNNING})


def test_a_fact_of_older_facts_was_not_gathered() -> None:
    absent = (services.UNITS_SHOWN.read(HostFacts()), oslo_conf.NOVA.read(HostFacts()))
    assert [one.why for one in absent if isinstance(one, Absent)] == [Why.NOT_GATHERED] * 2


def test_options_that_are_nowhere_are_of_something_that_is_not_installed() -> None:
    absent = oslo_conf.NOVA.read(HostFacts(commands={"depth": "settings\n"}))
    assert isinstance(absent, Absent)
    assert (absent.why, absent.detail.split(":")[0]) == (Why.NOT_INSTALLED, "Nova is not installed")


@pytest.fixture
def tree() -> Iterator[Path]:
    """A copied host whose nova.conf is there for root alone, in a folder that all may enter."""
    with tempfile.TemporaryDirectory() as folder:
        yield make_tree(Path(folder))


def make_tree(root: Path) -> Path:
    root.chmod(0o755)
    for name in ("etc/nova/nova.conf", "etc/neutron/neutron-ovs.conf.d/a.conf"):
        (root / name).parent.mkdir(parents=True)
        (root / name).write_text("[DEFAULT]\nreserved_host_memory_mb = 512\n")
    (root / "etc/nova/nova.conf").chmod(0o600)
    return root


@pytest.mark.parametrize("hidden", ["etc/nova/nova.conf", "etc/nova"])
def test_the_script_says_what_it_may_not_read(tree: Path, hidden: str) -> None:
    (tree / hidden).chmod(0)
    somebody: dict[str, Any] = {"user": "nobody"} if os.geteuid() == 0 else {}
    done = subprocess.run(
        [shutil.which("sh") or "sh", "-s"],
        input=script.render_script(root=str(tree), settings=True),
        capture_output=True,
        text=True,
        check=True,
        cwd="/",
        **somebody,
    )
    (tree / hidden).chmod(0o700)
    seen = parse_facts(done.stdout)
    assert "/etc/nova/nova.conf" in seen.unreadable
    absent = oslo_conf.NOVA.read(seen)
    assert isinstance(absent, Absent)
    assert absent.why is Why.NOT_PERMITTED
    assert absent.detail == "/etc/nova/nova.conf cannot be read: run the collector as root"


CLEAN = Path(__file__).with_name("nfv") / "cases" / "c00-clean.facts"


def rulings_of(said: str) -> dict[str, tuple[Answer, str]]:
    """Check a host without a plan whose tools of Open vSwitch say one thing."""
    seen = parse_facts(CLEAN.read_text())
    keys = {source.key for fact in ovs.FACTS for source in fact.sources}
    commands = {key: text for key, text in seen.commands.items() if key not in keys}
    commands["threads"] = ""
    facts = HostFacts(seen.files, seen.links, commands, dict.fromkeys(keys, said))
    report = check_host(parse_state(facts))
    return {one.check: (one.answer, one.why) for one in report.rulings}


def test_a_host_without_open_vswitch_has_nothing_of_it_to_check() -> None:
    answer, why = rulings_of("ovs-vsctl: not found")["errors"]
    assert (answer, why) == (
        Answer.NOT_APPLICABLE,
        "Open vSwitch is not installed (ovs-vsctl: not found)",
    )


def test_a_switch_that_may_not_be_asked_is_not_seen_and_not_called_dead() -> None:
    rulings = rulings_of(f"{SOCKET}(Permission denied)")
    assert rulings["errors"] == (Answer.NOT_SEEN, "interfaces")
    assert rulings["sets"] == (Answer.NOT_SEEN, "switch")


def test_every_check_that_is_not_made_says_why() -> None:
    for path in sorted(CLEAN.parent.glob("*.facts")):
        for one in check_facts(path.read_text()).rulings:
            assert one.why or one.answer in {Answer.FINE, Answer.FOUND}, (path.name, one)
