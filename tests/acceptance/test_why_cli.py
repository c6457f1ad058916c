"""`isthmus why` as a process, against a small cloud on loopback without OVN."""

import gzip
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from tests.acceptance.shell import Shell

from isthmus.testing.cloud import running_cloud

NET, SUB = "11111111-0000-0000-0000-000000000001", "11111111-0000-0000-0000-000000000002"


def port(name: str, last: int, host: str, **more: Any) -> dict[str, Any]:
    return {
        "id": f"port-{name}", "name": name, "network_id": NET, "project_id": "p",
        "mac_address": f"fa:16:3e:00:00:0{last}", "device_id": "", "device_owner": "compute:nova",
        "fixed_ips": [{"subnet_id": SUB, "ip_address": f"10.0.0.{last}"}], "status": "ACTIVE",
        "admin_state_up": True, "security_groups": ["g"], "port_security_enabled": True,
        "allowed_address_pairs": [], "binding:host_id": host, "binding:vif_type": "ovs", **more,
    }  # fmt: skip


@pytest.fixture
def shell(tmp_path: Path) -> Iterator[Shell]:
    with running_cloud("site1", "site2") as cloud:
        cloud.rows = {
            "ports": [port("web", 5, "site1/h1"), port("db", 6, "site2/h2")],
            "networks": [{"id": NET, "name": "net1", "mtu": 1442, "admin_state_up": True}],
            "subnets": [{"id": SUB, "network_id": NET, "cidr": "10.0.0.0/24", "ip_version": 4,
                         "enable_dhcp": True}],
            "security-groups": [{"id": "g", "name": "g", "stateful": True, "project_id": "p",
                                 "security_group_rules": []}],
            "address-groups": [], "site-mappings": [], "site-jobs": [], "site-refusals": [],
            "site-presences": [
                {"id": f"{NET}/{one}", "network_id": NET, "site": one, "withdrawn": False,
                 "datapath_key": 1} for one in ("site1", "site2")
            ],
            "sites": [
                {"id": one, "name": one, "region": one, "state": "enabled",
                 "reachability": "reachable"} for one in ("site1", "site2")
            ],
        }  # fmt: skip
        for name, site in cloud.sites.items():
            here = name == "site1"
            mine, last, host = ("web", 5, "h1") if here else ("db", 6, "h2")
            other, far, away = ("db", 6, "site2") if here else ("web", 5, "site1")
            site.rows = {
                "ports": [port(mine, last, host)],
                **{key: cloud.rows[key] for key in ("networks", "subnets", "security-groups")},
                "site-shadows": [
                    {"id": f"port-{other}", "network_id": NET, "site": away, "chassis": "c",
                     "port_key": far, "mac_address": f"fa:16:3e:00:00:0{far}",
                     "addresses": [f"10.0.0.{far}"]}
                ],
            }  # fmt: skip
        yield Shell(tmp_path, cloud)


def test_what_blocks_is_told_with_what_was_not_looked_at(shell: Shell) -> None:
    done = shell.run("why", "web", "db", "tcp/443", "-o", "json", code=4)
    found = json.loads(done.stdout)
    assert found["verdict"] == "blocked"
    assert found["source"]["site"] == "site1"
    assert found["target"]["host"] == "h2"
    assert "policy.egress.none" in [one["code"] for one in found["blockers"]]
    assert all(one["remedy"] and one["evidence"] for one in found["blockers"])
    unseen = {(one["source"], one["place"]): one["reason"] for one in found["not_looked_at"]}
    assert "--ovn site1=NB,SB" in unseen["OVN northbound", "site1"]
    assert "--ssh" in unseen["hypervisor", "h2"]
    assert {call[0] for call in shell.cloud.calls} <= {"GET", "POST"}
    assert not [call for call in shell.cloud.calls if call[0] == "POST" and "auth" not in call[1]]


def test_the_table_fits_one_screen_and_names_the_repair(shell: Shell) -> None:
    done = shell.run("why", "web", "db", "udp/53", code=4, says="Not looked at: OVN")
    assert "security group rule create" in done.stdout
    lines = done.stdout.splitlines()
    hops = lines[: lines.index("", 6)]
    assert len(hops) < 20
    assert any("egress rules" in line and "stops: policy.egress.none" in line for line in hops)


def test_what_lies_outside_is_asked_for_like_any_end(shell: Shell) -> None:
    done = shell.run("why", "web", "external", "tcp/443", "-o", "json", code=4)
    found = json.loads(done.stdout)
    assert found["target"]["kind"] == "outside"
    assert "subnet.no_gateway" in [one["code"] for one in found["blockers"]]
    assert {one["way"] for one in found["path"]} == {"there", "back"}


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("web", "db", "tcp"), "lacks its port"),
        (("web", "nobody"), "no port, server or address"),
        (("web", "web"), "are one port"),
        (("external", "internet"), "both ends are outside"),
        (("web", "db", "--ovn", "site1"), "SITE=NB,SB"),
        (("web", "db", "--family", "5"), "4 or 6"),
    ],
)
def test_what_cannot_be_asked_is_refused_in_a_sentence(
    shell: Shell, words: tuple[str, ...], says: str
) -> None:
    shell.run("why", *words, code=2, says=says)


def test_a_dump_gives_the_same_answer_when_nobody_can_be_asked(
    shell: Shell, tmp_path: Path
) -> None:
    shell.cloud.rows["ports"][0]["description"] = "password=hunter2"
    told = shell.run("why", "web", "db", "tcp/443", "-o", "json", code=4).stdout
    file = str(tmp_path / "one.dump")
    done = shell.run("gather", file, says="Not in it: OVN northbound site1: no way in")
    assert done.stdout == ""
    assert b"hunter2" not in gzip.decompress(Path(file).read_bytes())
    asked = len(shell.cloud.calls)
    again = shell.run("why", "web", "db", "tcp/443", "--from", file, "-o", "json", code=4).stdout
    assert len(shell.cloud.calls) == asked
    one, other = json.loads(told), json.loads(again)
    at = re.compile(r" at [\dTZ:-]+:")
    for blocker in (*one["blockers"], *other["blockers"]):
        blocker["evidence"], times = at.subn(" at T:", blocker["evidence"])
        assert times == 1
    assert one == other


def test_what_cannot_be_written_or_read_is_told_in_a_sentence(shell: Shell, tmp_path: Path) -> None:
    file = tmp_path / "one.dump"
    file.write_text("no dump\n")
    shell.run("gather", str(file), code=2, says="is there already")
    shell.run("why", "web", "db", "--from", str(file), code=2, says="damaged, or no dump")
    shell.run("why", "web", "db", "--from", f"{file}x", code=2, says="cannot read")


def test_a_cloud_is_checked_without_a_question_now_and_from_a_dump(
    shell: Shell, tmp_path: Path
) -> None:
    file = str(tmp_path / "one.dump")
    shell.run("gather", file)
    found = shell.data("check", code=6)
    assert (found["verdict"], found["findings"]) == ("undetermined", [])
    assert found["looked_at"] == {
        "sites": 2, "hypervisors": 0, "ports": 2, "routers": 0, "floating_ips": 0, "questions": 1
    }  # fmt: skip
    assert "--ovn site1=NB,SB" in found["not_looked_at"][0]["reason"]
    assert {call[0] for call in shell.cloud.calls if "auth" not in call[1]} == {"GET"}
    asked = len(shell.cloud.calls)
    again = shell.data("check", "--from", file, code=6)
    assert len(shell.cloud.calls) == asked
    assert {**again, "as_of": ""} == {**found, "as_of": ""}


def test_what_is_broken_is_told_with_its_repair(shell: Shell) -> None:
    for tier in (shell.cloud, shell.cloud.sites["site1"]):
        tier.rows["ports"][0] = {**tier.rows["ports"][0], "binding:vif_type": "binding_failed"}
    shell.cloud.rows["networks"][0]["admin_state_up"] = False
    done = shell.run("check", code=4, says="Not looked at: OVN northbound site1: no way in")
    assert done.stdout.startswith("verdict    broken\n")
    assert re.search(r"^broken +port.binding_failed .*isthmus port rebind", done.stdout, re.M)
    assert re.search(r"^advice +network.admin_down ", done.stdout, re.M)
    rows = yaml.safe_load(shell.run("check", "-o", "yaml", code=4).stdout)["findings"]
    assert [one["severity"] for one in rows] == ["broken", "advice"]


def test_a_watch_prints_what_has_come_and_what_has_gone(shell: Shell) -> None:
    words = ("check", "--watch", "--interval", "1", "-o", "json")
    with shell.watching(*words) as lines:
        first = read_document(lines)
        assert (first["verdict"], first["findings"]) == ("undetermined", [])
        shell.cloud.sites["site1"].rows["ports"][0]["binding:vif_type"] = "binding_failed"
        then = read_document(lines)
        assert (then["was"], then["verdict"], then["gone"]) == ("undetermined", "broken", [])
        assert [one["code"] for one in then["new"]] == ["port.binding_failed"]
        shell.cloud.sites["site1"].rows["ports"][0]["binding:vif_type"] = "ovs"
        last = read_document(lines)
        assert (last["verdict"], last["new"]) == ("undetermined", [])
        assert [one["code"] for one in last["gone"]] == ["port.binding_failed"]


def test_a_site_is_read_as_who_may_read_it_or_it_is_said_that_nobody_was_let_in(
    shell: Shell,
) -> None:
    words = ("why", "web", "db", "tcp/443")
    whole = shell.data(*words, code=4)
    for number, site in enumerate(shell.cloud.sites.values(), start=1):
        site.only = f"of-{number}"
        entry = json.loads(json.dumps(shell.entries["central"]))
        entry["auth"]["username"] = site.only
        shell.entries[f"own-{number}"] = {**entry, "region_name": site.name}
    shell.path.write_text(yaml.safe_dump({"clouds": shell.entries}))
    own = ("--site-cloud", "site1=own-1", "--site-cloud", "site2=own-2")
    shell.cloud.callers.clear()
    with_own = shell.data(*words, *own, code=4)
    keys = ("verdict", "path", "blockers", "source", "target")
    times = re.compile(r" at [0-9:]+Z")
    said, told = (
        times.sub("", json.dumps([one[key] for key in keys])) for one in (whole, with_own)
    )
    assert told == said
    assert {one for one in shell.cloud.callers if one[0] != "v3"} == {
        ("central", "admin"), ("site1", "of-1"), ("site2", "of-2")
    }  # fmt: skip
    lacking = shell.data(*words, "--site-cloud", "site1=own-1", code=4)
    refused = {
        one["place"] for one in lacking["not_looked_at"]
        if one["source"] == "Neutron" and "requires authentication" in one["reason"]
    }  # fmt: skip
    assert refused == {"site2"}, lacking["not_looked_at"]
    shell.run(*words, "--site-cloud", "site1", code=2, says="it is SITE=CLOUD")
    shell.run(*words, "--site-cloud", "site1=nobody", code=2, says="nobody")


def test_all_pairs_are_told_now_and_from_a_dump(shell: Shell, tmp_path: Path) -> None:
    file = str(tmp_path / "one.dump")
    shell.run("gather", file)
    found = shell.data("pairs", "tcp/443")
    assert (found["ports"], found["verdicts"]) == (2, {"blocked": 2})
    assert {one["code"] for one in found["not_reachable"]} == {"policy.egress.none"}
    asked = "isthmus why port-web port-db tcp/443"
    assert asked in [one["ask"] for one in found["not_reachable"]]
    again = shell.data("pairs", "tcp/443", "--network", "net1", "--from", file)
    assert {**again, "as_of": ""} == {**found, "as_of": ""}
    shell.run("pairs", says="Not looked at: OVN northbound site1")
    shell.run("pairs", "--network", "another", "--from", file, code=2, says="no network 'another'")
    shell.run("pairs", "tcp", code=2, says="lacks its port")


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("--interval", "5"), "is for --watch"),
        (("--watch", "--from", "x"), "a dump does not change"),
        (("--from", "nothing.dump"), "cannot read"),
    ],
)
def test_what_cannot_be_checked_is_refused(shell: Shell, words: tuple[str, ...], says: str) -> None:
    shell.run("check", *words, code=2, says=says)


def test_a_server_is_explained_now_and_from_a_dump(shell: Shell, tmp_path: Path) -> None:
    file = str(tmp_path / "one.dump")
    shell.run("gather", file)
    done = shell.run("explain", "web", says="Not looked at: OVN northbound site1: no way in")
    lines = done.stdout.splitlines()
    assert lines[0].startswith("port web (port-web), as of ")
    assert "              $ openstack --os-cloud site1 port show port-web" in lines
    found = shell.data("explain", "web")
    assert [(one["layer"], one["place"]) for one in found["stages"]] == [
        ("API", "central"), ("API", "site1")
    ]  # fmt: skip
    assert {**shell.data("explain", "web", "--from", file), "as_of": ""} == {**found, "as_of": ""}
    begins = {"mermaid": "flowchart TB", "svg": "<svg ", "html": "<!DOCTYPE html>"}
    for form, begin in begins.items():
        drawn = shell.run("explain", "net1", "--picture", form, "--from", file).stdout
        assert drawn.startswith(begin)
    shell.run("explain", "nothing", "--from", file, code=2, says="no network, router, floating IP")


def read_document(lines: Iterator[str]) -> dict[str, Any]:
    """Read the next document of JSON: it ends with a brace at the beginning of a line."""
    text = ""
    for line in lines:
        text += line
        if line.rstrip() == "}":
            return dict(json.loads(text))
    raise AssertionError(f"it ended: {text}")


def test_packets_are_sent_only_where_there_is_a_way_in(shell: Shell, tmp_path: Path) -> None:
    done = shell.run("why", "web", "db", "tcp/443", "--capture", "-o", "json", code=4)
    found = json.loads(done.stdout)
    assert (found["probes"], found["verdict"]) == ([], "blocked")
    assert "in a lab only" in found["not_sent"]
    done = shell.run("why", "web", "db", "--probe", code=4)
    assert "No packet was sent: no way in" in done.stderr
    dump = tmp_path / "dump"
    dump.touch()
    said = shell.run("why", "web", "db", "--probe", "--from", str(dump), code=2).stderr
    assert "a dump has no network" in said
