"""What is read of a hypervisor and of Neutron beside ports: how it is made of what they say."""

import datetime
import json
import time
from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from isthmus import errors
from isthmus.clients.http.unpaged import NAMES, list_unpaged
from isthmus.diagnose.collect import machine
from isthmus.diagnose.collect.tasks import gather
from isthmus.diagnose.evaluate.certificate import read_end
from isthmus.diagnose.world import Row, Source
from isthmus.facts.ovsdb import Select

#: Of a key that nobody has.
PEM = """\
-----BEGIN CERTIFICATE-----
MIIBbTCCAROgAwIBAgIUYg4xBxmZDoVo4pOLqhbdqpFDByUwCgYIKoZIzj0EAwIw
DDEKMAgGA1UEAwwBaDAeFw0yNjExMjkwMjUwNDNaFw0yNjEyMjkwMjUwNDNaMAwx
CjAIBgNVBAMMAWgwWTATBgcqhkjOPQIBBggqhkjOPQMBBwNCAATAc/+A4evWYZp9
/0tLfKxZqM1D8WZq2uxOhwjsAN3+UyyxhygKddC9ya4Ohk29zQpKfeRc956tloTl
Nt/4rliAo1MwUTAdBgNVHQ4EFgQULNBSxnQFidyJUlxEj77VIU5NWEwwHwYDVR0j
BBgwFoAULNBSxnQFidyJUlxEj77VIU5NWEwwDwYDVR0TAQH/BAUwAwEB/zAKBggq
hkjOPQQDAgNIADBFAiEA2FUgeyK1EdrCEAshQmdrDK98MNaSBcN8WqeWrqVGNqMC
IAg4GfPyKtC1m1C+Xy5Z+kZyaD55g76g5g/1ijIeRNTH
-----END CERTIFICATE-----
"""
END = datetime.datetime.fromisoformat("2026-12-29 02:50:43+00:00")
SHOW = """system@ovs-system:
  lookups: hit:31 missed:90 lost:4
  flows: 7
  port 0: ovs-system (internal)
"""
SNMP = """Tcp: ActiveOpens
Tcp: 5
Udp: InDatagrams NoPorts InErrors OutDatagrams RcvbufErrors SndbufErrors InCsumErrors
Udp: 700 0 3 650 0 0 3
"""
TRACKED = """\
tcp,orig=(src=10.0.0.5,dst=10.0.0.6,sport=4,dport=443),reply=(src=10.0.0.6,dst=10.0.0.5),zone=5,mark=1
tcp,orig=(src=10.0.0.5,dst=10.0.0.7,sport=4,dport=443),reply=(src=10.0.0.7,dst=10.0.0.5),zone=5,mark=2
icmp,orig=(src=10.0.0.5,dst=10.0.0.8,id=4,type=8,code=0),reply=(src=10.0.0.8),zone=5,mark=0x3
udp,orig=(src=10.0.0.5,dst=10.0.0.9,sport=4,dport=53),reply=(src=10.0.0.9),zone=5
"""


def log(*minutes: int) -> list[str]:
    """Write lines of a log, so many minutes old."""
    now = datetime.datetime.now(datetime.UTC)
    return [
        f"{(now - datetime.timedelta(minutes=one)).isoformat()[:19]}Z|1|ovsdb_idl|WARN|transaction "
        'error: {"details":"RBAC rules for client","error":"permission error"}' for one in minutes
    ]  # fmt: skip


SERVER = "6d0f3fd6-8f5b-4b3a-9f60-0d5f1b1f3c11"
CONSOLE = """[   9.1] cloud-init[612]: Cloud-init v. 24.1 running 'init'
[  61.7] cloud-init[612]: util.py[WARNING]: No instance datasource found! Likely bad things to come!
[  70.2] ci-info: ssh-rsa AAAAB3Nza root@nobody, password: hunter2
[  71.0] cloud-init[701]: Datasource DataSourceNone.  Up 71 seconds
"""


class Host:
    """A hypervisor of ML2/OVS that has lost a bridge's flows, with one port of OVN's zones."""

    tables: Mapping[str, list[Row]] = {
        "Bridge": [
            {"name": "br-int", "ports": ["p1", "p2"], "external_ids": {"ct-zone-a": "5"}},
            {"name": "br-ex", "ports": "p3", "external_ids": {}},
        ],
        "Port": [{"_uuid": f"p{n}", "interfaces": f"i{n}"} for n in (1, 2, 3)],
        "Interface": [{"_uuid": "i1", "name": "tap1", "ofport": 3,
                       "external_ids": {"iface-id": "a", "vm-uuid": SERVER}},
                      {"_uuid": "i2", "name": "int-br-ex", "ofport": []},
                      {"_uuid": "i3", "name": "phy-br-ex", "ofport": 1}],
        "SSL": [{"certificate": "/etc/c.pem", "ca_cert": "/etc/ca.pem"}],
    }  # fmt: skip

    def select(self, selects: Sequence[Select]) -> list[list[Row]]:
        return [[*self.tables[one.table]] for one in selects]

    def ask_daemon(self, daemon: str, *words: str) -> str:
        assert daemon == "ovs-vswitchd"
        return SHOW if words == ("dpctl/show",) else TRACKED * (words[1] == "zone=5")

    def list_flows(self, match: str, bridge: str = "") -> list[str]:
        if bridge == "br-ex":
            return ["priority=0 actions=NORMAL"]
        return ["dl_dst=m actions=output:3", "dl_dst=m actions=strip_vlan,output:17"]

    def run_ip(self, *words: str) -> str:
        if words == ("netns", "list"):
            return json.dumps([{"name": "qrouter-r"}, {"name": "other"}])
        assert words[:2] == ("-n", "qrouter-r")
        return json.dumps([{"dst": "10.0.0.6", "lladdr": "FA:16:3E:00:00:06"}, {"dst": "10.0.0.7"}])

    def read_file(self, path: str) -> str:
        if path.endswith("/console.log"):
            if "docker" not in path:
                raise errors.NotFound("none")
            return CONSOLE
        return SNMP if path.startswith("/proc") else PEM

    def read_log(self, daemon: str) -> list[str]:
        if daemon != "ovn-controller":
            raise errors.NotFound("no log")
        return [*log(90, 30, 1), "it connected"]


def read(host: Any, *own: str) -> Mapping[str, Sequence[Row]]:
    tasks = machine.tasks("h1", host, own=own, towards=["m"])
    found = gather([*tasks], time.monotonic() + 30, lambda: "t")
    assert found.unseen == []
    return found.seen[Source.HOST, "h1"].tables


def test_what_a_hypervisor_says_beside_ports() -> None:
    tables = read(Host(), "a", "b")
    assert {*tables} == {*machine.MADE}
    assert [(one["name"], one["ofports"]) for one in tables["bridge"]] == [
        ("br-int", [3]), ("br-ex", [1])
    ]  # fmt: skip
    assert {one["name"]: one["value"] for one in tables["counter"]} == {
        "upcalls-missed": 90, "upcalls-lost": 4, "datagrams": 700, "checksum-errors": 3
    }  # fmt: skip
    assert [(one["daemon"], one["what"], one["count"]) for one in tables["log"]] == [
        ("ovn-controller", "rbac", 2)
    ]
    assert {one["path"] for one in tables["certificate"]} == {"/etc/c.pem", "/etc/ca.pem"}
    assert tables["certificate"][0]["not_after"] == END.isoformat()
    assert tables["neighbour"] == [{"router_id": "r", "ip": "10.0.0.6", "mac": "fa:16:3e:00:00:06"}]
    assert [(one["bridge"], one["count"], one["outputs"]) for one in tables["bridge_flow"]] == [
        ("br-ex", 0, []), ("br-int", 2, [3, 17])
    ]  # fmt: skip
    assert [(one["target"], one["target_port"]) for one in tables["tracked"]] == [
        ("10.0.0.6", 443), ("10.0.0.8", None)
    ]  # fmt: skip


def test_of_a_console_only_what_settles_a_cause_is_kept() -> None:
    (row,) = read(Host(), "a")["console"]
    assert (row["port"], row["count"]) == ("a", 2)
    assert "DataSourceNone" in row["last"]
    assert "hunter2" not in str(row)
    assert read(Host(), "b")["console"] == []


@pytest.mark.parametrize("text", ["", "no certificate", PEM[:200], PEM.replace("MII", "AAA")])
def test_what_is_no_certificate_has_no_end(text: str) -> None:
    assert read_end(text) is None


def test_until_when_a_certificate_is_valid() -> None:
    assert read_end(f"subject=/CN=h\n{PEM}") == END


class Client:
    """Answers of a Neutron, by path."""

    name = "central"
    asked: list[tuple[str, Mapping[str, Any]]]

    def __init__(self, answers: Mapping[str, Any]) -> None:
        self.answers, self.asked = answers, []

    def call(self, method: str, path: str, *, query: Mapping[str, Any]) -> Any:
        assert method == "GET"
        self.asked.append((path, query))
        if path not in self.answers:
            raise errors.NotFound(path)
        return self.answers[path]

    def get_all(self, resource: str, **query: Any) -> list[Mapping[str, Any]]:
        return [*self.call("GET", resource, query=query)]


def test_lists_without_pages_have_the_form_of_all_others() -> None:
    answers = {
        "agent": [{"id": "a", "alive": True}],
        "network_ip_availability": [{"network_id": "n", "used_ips": 3}],
        "/v2.0/qos/policies": {"policies": [{"id": "q", "rules": []}]},
        "/v2.0/quotas/p/details": {"quota": {"port": {"used": 3, "limit": 9, "reserved": 0}}},
        "/v2.0/routers/r/l3-agents": {"agents": [{"id": "l", "ha_state": "active"}]},
    }
    client: Any = Client(answers)
    rows = {
        name: list_unpaged(client, name, {"router_id": ["r", "s"], "project_id": "p", "host": None})
        for name in sorted(NAMES)
    }
    assert {name: [one["id"] for one in found] for name, found in rows.items()} == {
        "agent": ["a"], "network_ip_availability": ["n"], "qos_policy": ["q"],
        "quota_detail": ["p/port"], "router_agent": ["r/l"],
    }  # fmt: skip
    assert rows["quota_detail"][0]["limit"] == 9
    assert rows["router_agent"][0]["router_id"] == "r"
    assert not any("host" in query for _, query in client.asked)


@pytest.mark.parametrize("name", ["qos_policy", "quota_detail", "router_agent"])
def test_an_answer_of_another_form_is_refused(name: str) -> None:
    paths = ("/v2.0/qos/policies", "/v2.0/quotas/p/details", "/v2.0/routers/r/l3-agents")
    client: Any = Client({key: {"other": []} for key in paths})
    with pytest.raises(errors.ProtocolError):
        list_unpaged(client, name, {"router_id": ["r"], "project_id": ["p"]})
