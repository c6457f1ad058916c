"""`isthmus why` over routers: a fault is named first, and its printed remedy lets packets pass."""

import contextlib
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import openstack
import pytest
from tests.lab.person import Person

from isthmus.lab.opened import OpenLab
from isthmus.testing.until import until

pytestmark = [
    pytest.mark.lab,
    pytest.mark.root,
    pytest.mark.stress,
    pytest.mark.timeout(3600),
    pytest.mark.filterwarnings("ignore::PendingDeprecationWarning"),
]
#: How long packets may need to find their way on a busy machine, in seconds.
PACKET_S = 180
#: How long `why` may read; a busy machine is no fault of the network.
READ_S = "240"
NETWORKS = {"front": "10.95.0.0/24", "back": "10.96.0.0/24"}


class Cloud:
    """Two networks and a router that joins them: a server at each site, an exit at site1."""

    def __init__(self, person: Person, undo: contextlib.ExitStack) -> None:
        self.person, self.undo = person, undo
        self.central = person.network("central")
        rows = person.json("lab", "external", "list")
        self.outside = next(
            row for row in rows if row["site"] == "site1" and row["network"] == "flat"
        )
        self.ids: dict[str, str] = {}
        self._make_networks()
        self._make_router()
        self.web = self._make_server("why-web", "site1", "front")
        self.db = self._make_server("why-db", "site2", "back")
        self.public = ""
        self._give_address()

    def _make_networks(self) -> None:
        for name, cidr in NETWORKS.items():
            network = self.central.create_network(name=f"why-{name}")
            self.undo.callback(self.central.delete_network, network.id)
            subnet = self.central.create_subnet(network_id=network.id, ip_version=4, cidr=cidr)
            self.ids |= {name: network.id, f"{name}-subnet": subnet.id}
        (zone,) = self.person.json("site", "show", "site1")["availability_zones"]
        out = self.central.create_network(
            name="why-out",
            is_router_external=True,
            provider_network_type="flat",
            provider_physical_network=self.outside["physical_network"],
            availability_zone_hints=[zone],
        )
        self.undo.callback(self.central.delete_network, out.id)
        self.central.create_subnet(
            network_id=out.id,
            ip_version=4,
            cidr=self.outside["subnets"][0],
            gateway_ip=self.outside["gateways"][0],
            is_dhcp_enabled=False,
        )
        self.ids["out"] = out.id

    def _make_router(self) -> None:
        router = self.central.create_router(
            name="why-router", external_gateway_info={"network_id": self.ids["out"]}
        )
        self.undo.callback(self.central.delete_router, router.id)
        self.ids["router"] = router.id
        for name in NETWORKS:
            subnet_id = self.ids[f"{name}-subnet"]
            port = self.central.add_interface_to_router(router, subnet_id=subnet_id)
            self.ids[f"{name}-port"] = port["port_id"]
            self.undo.callback(self.leave, subnet_id)

    def leave(self, subnet_id: str) -> None:
        self.central.remove_interface_from_router(self.ids["router"], subnet_id=subnet_id)

    def _make_server(self, name: str, site: str, network: str) -> dict[str, Any]:
        # A busy machine may be slower than a site that asks for a network waits.
        self.person.run("network", "extend", self.ids[network], site, "--wait", READ_S)
        row = self.person.server(name, site, self.ids[network])
        self.undo.callback(self.person.run, "lab", "server", "delete", name)
        return row

    def _give_address(self) -> None:
        port = self.central.get_port(self.db["port_id"])
        (self.ids["group"],) = port.security_group_ids
        self.let_in()
        floating = self.central.create_ip(
            floating_network_id=self.ids["out"], port_id=self.db["port_id"]
        )
        self.public = str(floating.floating_ip_address)
        self.undo.callback(self.forget_address)

    def let_in(self) -> None:
        with contextlib.suppress(openstack.exceptions.ConflictException):  # another test's
            self.central.create_security_group_rule(
                security_group_id=self.ids["group"],
                direction="ingress",
                ethertype="IPv4",
                protocol="icmp",
            )

    def shut_out(self) -> None:
        for rule in self.central.security_group_rules(
            security_group_id=self.ids["group"], direction="ingress", protocol="icmp"
        ):
            self.central.delete_security_group_rule(rule.id)

    def forget_address(self) -> None:
        for one in self.central.ips(port_id=self.db["port_id"]):
            self.central.delete_ip(one.id)

    def has_address(self) -> bool:
        return bool([*self.central.ips(port_id=self.db["port_id"])])

    def nb(self, site: str, *words: str) -> None:
        self.person.run("lab", "shell", site, "--", "ovn-nbctl", *words)

    def inside(self) -> bool:
        """Tell whether the servers reach each other."""
        (address,) = self.db["addresses"]
        return self.person.ping("why-web", address)

    def outwards(self) -> bool:
        """Tell whether a server reaches a host outside."""
        return self.person.ping("why-web", self.outside["hosts"][0])

    def inwards(self) -> bool:
        """Tell whether a host outside reaches the floating IP."""
        for one in self.central.ips(port_id=self.db["port_id"]):
            self.public = str(one.floating_ip_address)
        words = ("lab", "external", "exec", "site1", "--", "ping", "-c", "1", "-W", "2")
        return self.person.run(*words, self.public, check=False).returncode == 0

    def why(self, source: str, target: str, *more: str) -> dict[str, Any]:
        """Ask why one does not reach the other."""
        words = ("why", source, target, "icmp", "--timeout", READ_S, "-o", "json", *more)
        done = self.person.run(*words, check=False)
        assert done.returncode in (0, 4, 5, 6), done.stderr
        return dict(json.loads(done.stdout))

    def repair(self, remedy: str) -> None:
        """Run a remedy as it is printed; a note behind `#` is for people."""
        self.type(remedy.partition("   #")[0].partition("; or: ")[0])

    def type(self, command: str) -> str:
        """Run a command as a person types it, in a shell; gives what it prints."""
        plan = self.person.plan
        environment = {
            **os.environ,
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "OS_CLIENT_CONFIG_FILE": str(plan.clouds_file),
            "ISTHMUS_LAB_NAME": plan.name,
        }
        done = subprocess.run(
            ["sh", "-c", command],
            env=environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=600,
        )
        assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
        return done.stdout


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault, and how it shows."""

    code: str
    question: str  #: which of the three
    cause: Callable[[Cloud], object]


def disable_router(cloud: Cloud) -> None:
    cloud.central.update_router(cloud.ids["router"], is_admin_state_up=False)


def stop_translating(cloud: Cloud) -> None:
    gateway = {"network_id": cloud.ids["out"], "enable_snat": False}
    cloud.central.update_router(cloud.ids["router"], external_gateway_info=gateway)


def row(*words: str) -> Callable[[Cloud], object]:
    """Change rows of OVN at site1; words in braces are ids."""
    return lambda cloud: cloud.nb("site1", *(word.format(**cloud.ids) for word in words))


FAULTS = (
    Fault("router.none", "inside", lambda cloud: cloud.leave(cloud.ids["front-subnet"])),
    Fault("router.admin_down", "inside", disable_router),
    Fault("lr.disabled", "inside",
          row("set", "Logical_Router", "neutron-{router}", "enabled=false")),
    Fault("lrp.disabled", "inside",
          row("set", "Logical_Router_Port", "lrp-{back-port}", "enabled=false")),
    Fault("snat.off", "outwards", stop_translating),
    Fault("default_route.missing", "outwards",
          row("lr-route-del", "neutron-{router}", "0.0.0.0/0")),
    Fault("floating.none", "inwards", Cloud.forget_address),
    Fault("policy.ingress.remote_group", "inwards", Cloud.shut_out),
)  # fmt: skip


@pytest.fixture(scope="module")
def cloud(lab: OpenLab) -> Iterator[Cloud]:
    with contextlib.ExitStack() as undo:
        made = Cloud(Person(lab.plan), undo)
        for way in (made.inside, made.outwards, made.inwards):
            until(way, what=f"packets pass {way.__name__}", timeout_s=PACKET_S)
        yield made


def ask(cloud: Cloud, question: str, *more: str) -> dict[str, Any]:
    ends = {
        "inside": ("why-web", "why-db"),
        "outwards": ("why-web", cloud.outside["hosts"][0]),
        "inwards": ("external", cloud.public if cloud.has_address() else "why-db"),
    }
    return cloud.why(*ends[question], *more)


@pytest.mark.parametrize("question", ["inside", "outwards", "inwards"])
def test_what_passes_is_reachable(cloud: Cloud, question: str) -> None:
    assert getattr(cloud, question)()
    found = ask(cloud, question)
    assert [one["code"] for one in found["blockers"]] == []
    assert found["verdict"] == "reachable", found["not_seen"]


def test_a_dump_answers_as_the_clouds_do(cloud: Cloud, tmp_path: Path) -> None:
    whole, broken = str(tmp_path / "whole"), str(tmp_path / "broken")
    cloud.person.run("gather", whole, "--timeout", READ_S)
    disable_router(cloud)
    try:
        until(lambda: not cloud.inside(), what="the router stops packets", timeout_s=PACKET_S)
        cloud.person.run("gather", broken, "--timeout", READ_S)
    finally:
        cloud.central.update_router(cloud.ids["router"], is_admin_state_up=True)
    for question in ("inside", "outwards", "inwards"):
        assert ask(cloud, question, "--from", whole)["verdict"] == "reachable"
    found = ask(cloud, "inside", "--from", broken)
    assert found["verdict"] == "blocked"
    assert found["blockers"][0]["code"] == "router.admin_down"
    until(cloud.inside, what="packets pass again", timeout_s=PACKET_S)


def check(cloud: Cloud, *more: str) -> dict[str, Any]:
    """Ask for faults without a question."""
    done = cloud.person.run("check", "--timeout", READ_S, "-o", "json", *more, check=False)
    assert done.returncode in (0, 4, 5, 6), done.stderr
    return dict(json.loads(done.stdout))


def test_a_sweep_finds_nothing_where_all_is_well_and_the_fault_where_it_is_not(
    cloud: Cloud,
) -> None:
    found = check(cloud)
    assert (found["verdict"], found["findings"], found["not_asked"]) == ("healthy", [], [])
    assert found["looked_at"]["hypervisors"] == 4
    port = f"lrp-{cloud.ids['back-port']}"
    cloud.nb("site1", "set", "Logical_Router_Port", port, "enabled=false")
    found = check(cloud)
    assert found["verdict"] == "broken", found
    assert found["findings"][0]["code"] == "lrp.disabled", found["findings"]
    cloud.repair(found["findings"][0]["remedy"])
    until(lambda: check(cloud)["verdict"] == "healthy", what="all is well", timeout_s=PACKET_S)
    until(cloud.inside, what="packets pass again", timeout_s=PACKET_S)


def test_each_stage_of_an_explanation_is_seen_by_its_command(cloud: Cloud) -> None:
    typed: dict[str, str] = {}
    layers = set()
    for asked in ("why-front", "why-web", cloud.db["port_id"], "why-router", cloud.public):
        found = cloud.person.json("explain", asked, "--timeout", READ_S)
        assert [one["what"] for one in found["stages"] if not one["is_there"]] == []
        assert {one["site"] for one in found["stages"]} >= {"", "site1"}
        layers |= {one["layer"] for one in found["stages"]}
        for stage in found["stages"]:
            for command in (one["command"] for one in stage["commands"]):
                typed[command] = typed.get(command) or cloud.type(command)
                assert typed[command].strip() or "lr-nat-list" in command, command
    assert layers == {"API", "northbound", "southbound", "flows", "tunnel", "tap"}
    assert len(typed) > 40


def passes(cloud: Cloud, ping: str) -> bool:
    try:
        return " 0% packet loss" in cloud.type(ping)
    except AssertionError:
        return False


@pytest.mark.parametrize("asked", ["why-web", "why-router"])
def test_a_bare_copy_is_built_by_hand_as_it_is_told(cloud: Cloud, asked: str) -> None:
    *steps, away = cloud.person.json("explain", asked, "--timeout", READ_S)["by_hand"]
    *build, sync, ping = [one["command"] for step in steps for one in step["commands"]]
    with contextlib.ExitStack() as undo:
        for one in reversed(away["commands"]):  # last in, first out
            undo.callback(cloud.type, one["command"])
        for command in (*build, sync):
            cloud.type(command)
        until(lambda: passes(cloud, ping), what=ping, timeout_s=PACKET_S)
    assert not [one for one in cloud.type("ip netns list").split() if one.startswith("bare")]
    assert "bare" not in cloud.type(sync.replace("--wait=hv sync", "show"))


@pytest.mark.parametrize("fault", FAULTS, ids=lambda one: one.code)
def test_a_fault_is_named_first_and_its_remedy_heals_it(cloud: Cloud, fault: Fault) -> None:
    passes: Callable[[], bool] = getattr(cloud, fault.question)
    fault.cause(cloud)
    until(lambda: not passes(), what=f"{fault.code} stops packets", timeout_s=PACKET_S)

    def named() -> list[dict[str, Any]] | None:
        """Ask; a change at central takes a moment to come to a site."""
        found = ask(cloud, fault.question)["blockers"]
        return found if found and found[0]["code"] == fault.code else None

    blockers = until(named, what=f"{fault.code} is named first", timeout_s=PACKET_S)
    cloud.repair(blockers[0]["remedy"])
    until(passes, what=f"packets pass after {blockers[0]['remedy']}", timeout_s=PACKET_S)
