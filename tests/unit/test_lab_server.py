import subprocess
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from isthmus import errors
from isthmus.lab import opened
from isthmus.lab.network import vlans
from isthmus.lab.network.dhcp import SCRIPT, client_command, leases_file, resolv_files
from isthmus.lab.network.server import STATIC, Servers, choose_mode
from isthmus.lab.opened import OpenLab
from isthmus.lab.plan import plan_lab
from isthmus.lab.process.ledger import Made
from isthmus.lab.status import choose_next
from isthmus.lab.topology import default_topology


@pytest.mark.parametrize(
    ("subnet", "mode"),
    [
        ({"ip_version": 4, "enable_dhcp": True}, ("-4",)),
        ({"ip_version": 4, "enable_dhcp": False}, STATIC),
        ({"ip_version": 6, "enable_dhcp": True, "ipv6_address_mode": "slaac"}, ()),
        ({"ip_version": 6, "enable_dhcp": True, "ipv6_address_mode": "dhcpv6-stateful"}, ("-6",)),
        (
            {"ip_version": 6, "enable_dhcp": True, "ipv6_address_mode": "dhcpv6-stateless"},
            ("-6", "-S"),
        ),
        ({"ip_version": 6, "enable_dhcp": True, "ipv6_address_mode": None}, STATIC),
        ({"ip_version": 6, "enable_dhcp": False, "ipv6_address_mode": None}, STATIC),
    ],
)
def test_how_an_address_comes(subnet: dict[str, Any], mode: tuple[str, ...]) -> None:
    assert choose_mode(subnet) == mode


def test_clients_of_one_server_share_no_file() -> None:
    four = client_command(Path("/f"), "a", "eth0", ("-4",))
    six = client_command(Path("/f"), "a", "eth0", ("-6", "-S"))
    files = [[word for word in words if word.startswith("/f/a.")] for words in (four, six)]
    assert len(files[0]) == len(files[1]) == 2
    assert not set(files[0]) & set(files[1])


def run_script(folder: Path, **variables: str) -> list[str]:
    """Run the script with an `ip` that writes down what it is asked."""
    script, fake = folder / "dhclient-script", folder / "bin" / "ip"
    script.write_text(SCRIPT)
    fake.parent.mkdir(exist_ok=True)
    fake.write_text(f'#!/bin/sh\necho "$@" >>{folder}/asked\n')
    fake.chmod(0o755)
    env = {"PATH": f"{fake.parent}:/usr/bin:/bin", "LAB_SERVER": "a", "interface": "eth0"}
    subprocess.run(["sh", script], env={**env, **variables}, check=True)
    asked = folder / "asked"
    return asked.read_text().splitlines() if asked.exists() else []


def test_script_sets_address_routes_and_name_servers(tmp_path: Path) -> None:
    asked = run_script(
        tmp_path,
        reason="BOUND",
        new_ip_address="10.0.0.5",
        new_subnet_mask="255.255.255.0",
        new_interface_mtu="1442",
        new_routers="10.0.0.1",
        new_domain_name="example.org",
        new_domain_name_servers="9.9.9.9 8.8.8.8",
    )
    assert asked == [
        "link set eth0 mtu 1442",
        "-4 addr replace 10.0.0.5/255.255.255.0 dev eth0",
        "-4 route replace default via 10.0.0.1 dev eth0",
    ]
    said = "search example.org\nnameserver 9.9.9.9\nnameserver 8.8.8.8\n"
    four, six = resolv_files(tmp_path, "a")
    assert four.read_text() == said
    # The client of the other version of IP, which is told of nobody, leaves it alone.
    run_script(tmp_path, reason="BOUND6", new_ip6_address="fd00::5", new_ip6_prefixlen="128")
    assert (four.read_text(), six.read_text()) == (said, "")


def test_classless_routes_take_the_place_of_routers(tmp_path: Path) -> None:
    asked = run_script(
        tmp_path,
        reason="RENEW",
        new_ip_address="10.0.0.5",
        new_subnet_mask="255.255.255.0",
        new_routers="10.0.0.1",
        new_rfc3442_classless_static_routes="0 10 0 0 2 20 10 9 16 10 0 0 3 24 10 8 1 0 0 0 0",
    )
    assert asked[1:] == [
        "-4 route replace 0.0.0.0/0 via 10.0.0.2 dev eth0 onlink",
        "-4 route replace 10.9.16.0/20 via 10.0.0.3 dev eth0 onlink",
        "-4 route replace 10.8.1.0/24 dev eth0",
    ]


def test_of_a_server_that_does_not_come_up_the_next_step_is_said() -> None:
    """A server without an address was said to have none in 60 s; a daemon of its host was dead."""
    up, down = {"name": "site1.nb", "state": "up"}, {"name": "site1-h1.vswitchd", "state": "down"}
    said = choose_next([up, down], "lab", "a")
    assert said == "Not running: site1-h1.vswitchd. Next: isthmus lab start site1-h1.vswitchd"
    assert choose_next([down], "op", "a").endswith("lab start site1-h1.vswitchd --name op")
    held = {"name": "site1-h1.ovsdb", "state": "stopped"}
    said = choose_next([up, down, held], "op", "a")
    assert said.endswith(
        "lab start site1-h1.vswitchd --name op. Stopped by a signal: site1-h1.ovsdb. "
        "Next: isthmus lab kill site1-h1.ovsdb --signal CONT --name op"
    )
    said = choose_next([up], "op", "a")
    assert "isthmus why a OTHER" in said
    assert "isthmus lab status --name op" in said


def test_leases_are_where_the_client_keeps_them() -> None:
    for mode in (("-4",), ("-6",), ("-6", "-S")):
        words = client_command(Path("/f"), "a", "eth0", mode)
        assert str(leases_file(Path("/f"), "a", mode)) == words[words.index("-lf") + 1]


PORT = "01234567-89ab-cdef-0123-456789abcdef"
SUBPORT = {"port_id": "p", "segmentation_id": 100, "mac_address": "fa:16:3e:00:00:02"}


def test_a_vlan_is_that_of_a_subport() -> None:
    port = {"id": PORT, "trunk_details": {"sub_ports": [SUBPORT]}}
    assert vlans.find_subports(port, (100,)) == {100: SUBPORT}
    assert vlans.find_subports({"id": PORT}, ()) == {}
    with pytest.raises(errors.NotFound, match="no subport with VLAN 7; it has: 100"):
        vlans.find_subports(port, (100, 7))
    for without in ({"id": PORT}, {"id": PORT, "trunk_details": None}):
        with pytest.raises(errors.NotFound, match="it has: none"):
            vlans.find_subports(without, (100,))


def test_a_bridge_joins_what_is_untagged_and_each_vlan() -> None:
    macs = {"eth0": "fa:16:3e:00:00:01", vlans.device("eth0", 4094): "fa:16:3e:00:00:02"}
    lines = list(vlans.render_links(PORT, "tap", "guest", macs, 1442))
    added = [line.split() for line in lines if " add " in line]
    ends = [words[2] for words in added]
    assert [f"link set {end} up" for end in ends] == [line for line in lines if " set " in line]
    assert all(len(name) <= 15 for name in (*ends, vlans.bridge(PORT)))
    assert [(words[-7], words[-5], words[-1]) for words in added[1:]] == [
        ("eth0", "fa:16:3e:00:00:01", "guest"),
        ("eth0.4094", "fa:16:3e:00:00:02", "guest"),
    ]
    words = " ".join(vlans.switch_words(PORT, (4094,)))
    bridge = vlans.bridge(PORT)
    assert f"add-port {bridge} {ends[0]} -- " in words
    assert f"add-port {bridge} {ends[1]} tag=0 -- " in words
    assert words.endswith(f"add-port {bridge} {ends[2]} tag=4094")


class Heard:
    """An API of central that has a port for a while, or does not answer at all."""

    def __init__(self, answers: list[Any]) -> None:
        self.answers = answers

    def call(self, method: str, path: str, **_: Any) -> Any:
        assert (method, path) == ("GET", "/v2.0/ports/p")
        said = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(said, Exception):
            raise said
        return {"port": {"id": "p", "device_owner": "compute:lab", "status": "ACTIVE", **said}}


GONE = errors.NotFound("no port")
OWN = {"name": "a", "site": "site1", "port_id": "p", "own_port": True}


def delete(monkeypatch: pytest.MonkeyPatch, row: dict[str, Any], answers: list[Any]) -> str:
    """Delete a server of a lab whose central answers so; `answers` keeps what was not asked."""
    plan = plan_lab(default_topology(2, 1), name="lab", number=1, folder=Path("/nowhere"))
    heard = Heard(answers)
    tools: Any = SimpleNamespace(open_api=lambda _file, cloud: {"central": heard}[cloud])
    made = Made(servers={"a": row}, links={"site2": {"cut": True}})
    ledger: Any = SimpleNamespace(read=lambda: made)
    monkeypatch.setattr(opened, "HEARD_TIMEOUT_S", 0.3)
    monkeypatch.setattr(Servers, "delete", lambda _self, name: made.servers.pop(name))
    lab = OpenLab(plan=plan, tools=tools, ledger=ledger, made=made)
    said = lab.delete_server("a")
    assert not made.servers
    return said


def test_a_server_is_deleted_when_central_knows(monkeypatch: pytest.MonkeyPatch) -> None:
    """Central refused to delete the network of a server that a site had not yet reported gone."""
    answers: list[Any] = [{"device_id": "d"}, {"device_id": "d"}, GONE]
    assert delete(monkeypatch, dict(OWN), answers) == ""
    assert answers == [GONE]


def test_a_port_that_was_there_before_stays_and_is_free(monkeypatch: pytest.MonkeyPatch) -> None:
    answers: list[Any] = [{"device_id": "d"}, {"device_id": ""}]
    assert delete(monkeypatch, {**OWN, "own_port": False}, answers) == ""
    assert answers == [{"device_id": ""}]


def test_of_a_port_that_central_keeps_it_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(errors.TimedOut, match=r"port p \(compute:lab, ACTIVE\).* site1 has not"):
        delete(monkeypatch, dict(OWN), [{"device_id": "d"}])


def test_nobody_waits_for_a_central_that_cannot_hear(monkeypatch: pytest.MonkeyPatch) -> None:
    cut = delete(monkeypatch, {**OWN, "site": "site2"}, [AssertionError("central is not asked")])
    assert cut == "site2 is cut off; central hears of it when the link is back"
    away = delete(monkeypatch, dict(OWN), [errors.Unreachable("no route")])
    assert away == "central does not answer: no route"
