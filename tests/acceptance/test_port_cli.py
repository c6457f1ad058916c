"""`isthmus port` as a person meets it: what agrees, what only seems to, and binding again."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.acceptance.inside import Inside
from tests.acceptance.shell import NET, SUBNET, small_cloud

MAC = "fa:16:01:00:00:01"
CENTRAL = ("central", "port", "site1/h1", 4097, True)
HOME = ("site1", "port", "h1", 4097, True)
AWAY = ("site2", "shadow", "site1/h1", 4097, True)


class Stretched(Inside):
    """Somebody whose port lives at site1; site2 has a shadow of it."""

    binds_as = "ovs"  #: what becomes of a port that site1 binds

    def begin(self) -> None:
        for site in ("site1", "site2"):
            self.run("site", "create", site)
        self.run("network", "extend", "net1", "site1", "site2")
        self.port: dict[str, Any] = {
            "id": "p1",
            "name": "web",
            "network_id": NET,
            "mac_address": MAC,
            "fixed_ips": [{"subnet_id": SUBNET, "ip_address": "10.0.0.7"}],
            "status": "ACTIVE",
            "binding:host_id": "site1/h1",
        }
        self.shadow: dict[str, Any] = {
            "id": "p1",
            "site": "site1",
            "hostname": "h1",
            "port_key": 4097,
            "mac_address": MAC,
            "addresses": ["10.0.0.7", "10.0.0.100"],
        }
        self.one, self.two = self.cloud.sites["site1"], self.cloud.sites["site2"]
        self.cloud.rows["ports"] = [self.port]
        self.one.rows = {"ports": [{**self.port, "binding:host_id": "h1"}], "site-shadows": []}
        self.two.rows = {"ports": [], "site-shadows": [self.shadow]}
        bound = {"id": "p1", "key": 4097, "requested_key": 4097, "chassis": "c1"}
        self.one.holdings["ovn"] = {"ports": [dict(bound)], "shadows": []}
        self.two.holdings["ovn"] = {"ports": [], "shadows": [dict(bound)]}
        self.location = {"port_id": "p1", "site": "site1", "port_key": 4097}
        (self.held,) = self.cloud.rows["site-holdings"]
        self.held["locations"] = [self.location]

    def seen(self, says: str = "") -> list[tuple[Any, ...]]:
        ran = self.run("port", "show", "web", "-o", "json", says=says)
        assert says or not ran.stderr
        names = ("tier", "known_as", "host", "port_key", "agrees")
        return [tuple(row[name] for name in names) for row in json.loads(ran.stdout)]


@pytest.fixture
def shell(tmp_path: Path) -> Iterator[Stretched]:
    with small_cloud() as cloud:
        shell = Stretched(tmp_path, cloud)
        shell.begin()
        yield shell


def test_a_port_is_shown_as_every_tier_knows_it(shell: Stretched) -> None:
    assert shell.seen() == [CENTRAL, HOME, AWAY]
    asked = [path for _, path, _ in shell.cloud.calls if path.startswith("/site")]
    assert not any("/ports/p1" in path or "ports?id=" in path for path in asked), asked
    shell.run("port", "show", "nobody", code=2, says="there is no port 'nobody'")


@pytest.mark.parametrize(
    ("part", "odd"),
    [
        ("site-shadows", ["x"]),
        ("site-shadows", [{"id": "p1"}]),
        ("site-shadows", [{"addresses": 7}]),
        ("ports", [{"id": ["p1"]}]),
        ("ports", [{"id": "p1", "fixed_ips": 7}]),
        ("ovn", {"ports": [{}], "shadows": []}),
        ("ovn", {"ports": 7, "shadows": []}),
        ("ovn", {"ports": [], "shadows": [{"id": "p1", "key": "x", "requested_key": 1}]}),
    ],
)
def test_a_site_that_answers_in_another_form_hides_no_other_tier(
    shell: Stretched, part: str, odd: Any
) -> None:
    """It was called a bug of ours, and nothing was shown."""
    if part == "ovn":
        shell.two.holdings["ovn"] = odd
    else:
        rows = [{**shell.shadow, **one} if "addresses" in one else one for one in odd]
        shell.two.rows[part] = rows
    seen = shell.seen("site2 did not .*site2")
    assert seen[:2] == [CENTRAL, HOME] or seen[0][-1] is None
    assert seen[1] == HOME
    assert seen[2][-1] is None, "not seen, and not called wrong"


def test_another_mac_or_address_does_not_agree(shell: Stretched) -> None:
    shell.shadow["mac_address"] = "fa:16:01:00:00:02"
    says = f"site2 does not agree: MAC fa:16:01:00:00:02, at central {MAC}"
    assert shell.seen(says)[2] == (*AWAY[:4], False)
    shell.shadow.update(mac_address=MAC, addresses=["10.0.0.9"])
    says = "site2 does not agree: addresses 10.0.0.9, at central 10.0.0.7"
    assert shell.seen(says)[2] == (*AWAY[:4], False)


def test_another_key_than_the_home_has_does_not_agree(shell: Stretched) -> None:
    shell.one.holdings["ovn"]["ports"][0].update(key=4100, requested_key=4100)
    says = "site1 does not agree: key 4100, at central 4097"
    assert shell.seen(says)[1:] == [("site1", "port", "h1", 4100, False), AWAY]
    shell.location["port_key"] = 4100
    says = "site2 does not agree: key 4097, at central 4100"
    assert [row[-1] for row in shell.seen(says)] == [True, True, False]
    shell.shadow["port_key"] = 4100
    says = "site2 does not agree: OVN has key 4097, asked for was 4100"
    assert shell.seen(says)[2] == (*AWAY[:4], False)


def test_a_shadow_that_ovn_has_lost_does_not_agree(shell: Stretched) -> None:
    shell.two.holdings["ovn"]["shadows"].clear()
    says = "site2 does not agree: OVN has no row of it"
    assert shell.seen(says)[2] == (*AWAY[:3], None, False)


def test_a_location_that_central_has_not_heard_does_not_agree(shell: Stretched) -> None:
    shell.held["locations"] = []
    ran = shell.run("port", "show", "web", says="central does not agree: has not heard where it is")
    assert "site2 does not agree: central does not know where the port is" in ran.stderr
    assert [row[-1] for row in shell.seen("site1")] == [False, True, False]
    # A port that lies unused is nowhere, and nobody has to have heard of it.
    shell.one.holdings["ovn"]["ports"][0]["chassis"] = ""
    shell.two.rows["site-shadows"] = []
    assert [row[-1] for row in shell.seen()] == [True, True, None]


def test_a_site_without_the_shadow_does_not_agree(shell: Stretched) -> None:
    shell.two.rows["site-shadows"] = []
    shell.two.holdings["ovn"]["shadows"].clear()
    says = "site2 does not agree: no shadow; it is at site1"
    assert shell.seen(says)[2] == ("site2", "nothing", "", None, False)
    shell.cloud.rows["site-presences"][1]["withdrawn"] = True
    assert shell.seen()[2] == ("site2", "nothing", "", None, None)


def test_what_was_not_seen_agrees_with_nothing(shell: Stretched) -> None:
    shell.one.holdings.pop("ovn")
    assert shell.seen("site1 did not show its OVN: site1 shows you nothing")[:2] == [
        (*CENTRAL[:4], None),
        (*HOME[:3], None, None),
    ]
    shell.two.cut = True
    assert shell.seen("site2 did not answer: ")[2] == ("site2", "", "", None, None)


def test_a_central_that_does_not_say_where_it_is_leaves_the_rest_to_be_seen(
    shell: Stretched,
) -> None:
    shell.cloud.rows["site-holdings"].clear()  # as who has not the role sees it
    says = "central did not say where it is: central shows you nothing"
    assert shell.seen(says) == [
        (*CENTRAL[:3], None, None),
        (*HOME[:4], None),
        (*AWAY[:4], None),
    ]
    shell.shadow["mac_address"] = "fa:16:01:00:00:02"
    assert [row[-1] for row in shell.seen("site2 does not agree: MAC")] == [None, None, False]


def home(shell: Stretched, **changes: Any) -> None:
    """Have the port live at site1, whose Neutron binds it as it is told to."""
    shell.cloud.rows["site-mappings"] = [
        {"id": "m1", "type": "port", "resource_id": "p1", "site": "site1", "withdrawn": False}
    ]
    (port,) = shell.one.rows["ports"]
    port.update({"binding:vif_type": "ovs", **changes})
    answered = shell.cloud.answer

    def answer(method: str, target: str, body: Any, caller: str) -> tuple[int, Any]:
        if method == "PUT" and target.startswith("/site1/v2.0/ports/"):
            port.update(body["port"], **{"binding:vif_type": shell.binds_as})
            return 200, {"port": port}
        return answered(method, target, body, caller)

    shell.cloud.answer = answer  # type: ignore[method-assign]
    shell.binds_as = "ovs"
    shell.cloud.calls.clear()


def changes(shell: Stretched) -> list[str]:
    return [
        body["port"]["binding:host_id"] for method, _, body in shell.cloud.calls if method == "PUT"
    ]


def test_a_port_that_failed_is_bound_to_the_hypervisor_that_it_was_meant_for(
    shell: Stretched,
) -> None:
    home(shell, **{"binding:vif_type": "binding_failed"})
    shell.run("port", "rebind", "web", says="Site site1 has bound port web to h1\\.")
    assert changes(shell) == ["h1"]


def test_a_port_is_never_unbound_on_the_way(shell: Stretched) -> None:
    """Whoever is killed on the way leaves it bound."""
    home(shell)
    shell.run("port", "rebind", "web", says="has bound port web to h1\\.")
    assert changes(shell) == ["h1"]
    shell.cloud.calls.clear()
    shell.run("port", "rebind", "web", "--host", "h2", says="to h2; Neutron had it on h1\\.")
    assert changes(shell) == ["h2"]


def test_what_cannot_be_bound_is_refused_with_the_reason(shell: Stretched) -> None:
    shell.cloud.rows["site-mappings"] = []
    shell.run("port", "rebind", "web", code=2, says="web lives nowhere: the first site to use it")
    home(shell, **{"binding:host_id": "", "binding:vif_type": "unbound"})
    shell.run("port", "rebind", "web", code=2, says="bound to no hypervisor.*--host")
    shell.binds_as = "binding_failed"
    says = "site1 could not bind port web to h9: .*bound to nothing as before.*isthmus audit tells"
    shell.run("port", "rebind", "web", "--host", "h9", code=2, says=says)
    shell.one.rows["ports"] = []
    shell.run("port", "rebind", "web", code=2, says="does not have it: isthmus site resync site1")
    shell.run("port", "rebind", "nobody", code=2, says="there is no port 'nobody'")
    shell.cloud.rows["site-mappings"][0]["site"] = "gone/1"
    shell.run("port", "rebind", "web", code=2, says="a site that was removed")


def test_a_port_stays_where_it_is_if_the_other_hypervisor_does_not_take_it(
    shell: Stretched,
) -> None:
    home(shell)
    shell.binds_as = "binding_failed"
    says = "site1 could not bind port web to h9: .*It is bound to h1 as before"
    shell.run("port", "rebind", "web", "--host", "h9", code=2, says=says)
    assert changes(shell) == ["h9", "h1"]


def test_ports_of_routers_are_not_bound(shell: Stretched) -> None:
    home(shell)
    shell.port["device_owner"] = "network:router_interface"
    says = "port web is no server's \\(network:router_interface\\)"
    shell.run("port", "rebind", "web", "--host", "h2", code=2, says=says)
    assert changes(shell) == []


@pytest.mark.parametrize("command", ["rebind", "release"])
def test_who_may_not_see_where_a_port_lives_is_told_so(shell: Stretched, command: str) -> None:
    shell.cloud.rows["site-mappings"] = shell.cloud.rows["site-holdings"] = []
    says = "central shows you nothing of what it holds: that takes the role"
    shell.run("port", command, "web", code=2, says=says)


def test_what_somebody_else_bound_meanwhile_is_not_claimed(shell: Stretched) -> None:
    home(shell)
    answered = shell.cloud.answer

    def answer(method: str, target: str, body: Any, caller: str) -> tuple[int, Any]:
        found = answered(method, target, body, caller)
        if method == "PUT":
            shell.one.rows["ports"][0]["binding:host_id"] = "h3"
        return found

    shell.cloud.answer = answer  # type: ignore[method-assign]
    says = "somebody else has bound port web to h3 meanwhile"
    shell.run("port", "rebind", "web", "--host", "h2", code=2, says=says)


@pytest.mark.parametrize(
    ("ovn", "says"),
    [
        ({"unseen": "the northbound database of OVN does not answer"}, "does not answer\\)"),
        ({"ports": [{"id": "p1", "requested_chassis": "c3"}]}, "OVN is still asked for h3"),
        ({"ports": []}, "OVN has no row of it"),
    ],
)
def test_what_ovn_does_not_know_is_not_called_bound(
    shell: Stretched, monkeypatch: pytest.MonkeyPatch, ovn: dict[str, Any], says: str
) -> None:
    monkeypatch.setattr("isthmus.operate.port.rebind._SHOWN_S", 0.0)
    home(shell)
    shell.one.holdings["ovn"] = {"chassis": [{"name": "c3", "hostname": "h3"}], **ovn}
    ran = shell.run("port", "rebind", "web", "--host", "h2", code=3, says=says)
    assert "run this again" in ran.stderr
    assert "has bound port" not in ran.stderr
    assert changes(shell) == ["h2"]


@pytest.mark.parametrize("host", ["", "h 1", "h\n1", "x" * 300])
def test_a_hypervisor_is_called_by_a_name(shell: Stretched, host: str) -> None:
    home(shell)
    shell.run("port", "rebind", "web", "--host", host, code=2, says="is no name of a hypervisor")
    assert changes(shell) == []


@pytest.mark.parametrize("command", ["rebind", "release", "show"])
def test_an_empty_name_is_none(shell: Stretched, command: str) -> None:
    shell.port["name"] = ""
    shell.run("port", command, "", code=2, says="which port is meant\\? The name is empty")
