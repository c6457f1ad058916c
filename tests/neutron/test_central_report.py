"""What a site reports of its ports becomes central's, once, whatever is lost on the way."""

import uuid
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from tests.neutron.central_server import CentralServer, by_type
from tests.neutron.server import tenant

pytestmark = pytest.mark.neutron

_LOCATION: dict[str, Any] = {
    "chassis": "chassis-1",
    "hostname": "host1",
    "encap_ip": "192.0.2.11",
    "port_key": 7,
}


def born(
    place: dict[str, Any], subnet_id: str, address: str, groups: list[str], key: int
) -> dict[str, Any]:
    """Give the state of a port that a site has made, as it reports it."""
    port_id = str(uuid.uuid4())
    return {
        "id": port_id,
        **place,
        "name": "born-at-site1",
        "description": "",
        "admin_state_up": True,
        "mac_address": "fa:16:01:" + ":".join(port_id[n : n + 2] for n in (0, 2, 4)),
        "fixed_ips": [{"subnet_id": subnet_id, "ip_address": address}],
        "security_groups": groups,
        "allowed_address_pairs": [],
        "port_security_enabled": True,
        "extra_dhcp_opts": [],
        "device_id": "vm",
        "device_owner": "compute:nova",
        "binding:host_id": "host1",
        "binding:vif_type": "ovs",
        "binding:vnic_type": "normal",
        "binding:profile": {},
        "status": "ACTIVE",
        "isthmus:base": None,
        "isthmus:location": {**_LOCATION, "port_key": key},
    }


class Stretched:
    """A network that is present at both sites, and ports that are born at site1."""

    def __init__(
        self,
        central: CentralServer,
        *,
        present: tuple[str, ...] = ("site1", "site2"),
        prefix: int = 24,
    ) -> None:
        self.central = central
        self.project = uuid.uuid4().hex
        self.user = tenant(self.project)
        self.network = central.create("network", self.user, name="n")
        self.subnet = central.create(
            "subnet",
            self.user,
            network_id=self.network["id"],
            cidr=f"10.0.0.0/{prefix}",
            ip_version=4,
        )
        self.leases: dict[str, list[Any]] = {}
        self.groups: list[str] = []
        for site in present:
            items = central.bundle(site, "network", self.network["id"], project=self.project)
            self.leases[site] = by_type(items["items"], "lease")
            self.groups = [one["id"] for one in by_type(items["items"], "security_group")]
        self._next = 0
        self._key = _LOCATION["port_key"]

    def address(self, site: str = "site1") -> str:
        (lease,) = (one for one in self.leases[site] if one["kind"] == "subnet")
        self._next += 1
        number = int(lease["first"]) + self._next - 1
        return f"10.0.0.{number - 10 * 2**24}"

    def port(self, **more: Any) -> dict[str, Any]:
        self._key += 1
        place = {"network_id": self.network["id"], "project_id": self.project}
        return born(place, self.subnet["id"], self.address(), self.groups, self._key - 1) | more

    def report(self, port: dict[str, Any], **more: Any) -> dict[str, Any]:
        (result,) = self.central.report("site1", item(port), **more)
        return result

    def must_take(self, port: dict[str, Any]) -> None:
        """Report a port, which is taken as a whole."""
        result = self.report(port)
        assert result["code"] == "", result

    def shown(self, port: dict[str, Any]) -> Any:
        return self.central.call("GET", f"/v2.0/ports/{port['id']}").only()


def item(port: dict[str, Any], *, gone: bool = False) -> dict[str, Any]:
    return {"type": "port", "id": port["id"], "state": None if gone else port}


def test_a_port_born_at_a_site_is_the_same_at_central(central: CentralServer) -> None:
    net = Stretched(central)
    port = net.port()
    assert net.report(port)["code"] == ""
    shown = net.shown(port)
    for name in ("id", "mac_address", "fixed_ips", "security_groups", "device_id", "name"):
        assert shown[name] == port[name]
    assert shown["binding:host_id"] == "site1/host1"
    assert shown["binding:vif_type"] == "ovs"
    assert shown["status"] == "ACTIVE"


def test_a_port_takes_its_status_along_as_it_is_bound(central: CentralServer) -> None:
    net = Stretched(central)
    up, down = net.port(), net.port(status="DOWN")
    net.must_take(up)
    net.must_take(down)
    assert net.shown(down)["status"] == "DOWN"
    # What Neutron changes afterwards it counts; it would also read the whole port for that.
    assert net.shown(down)["revision_number"] == net.shown(up)["revision_number"]


def test_the_other_site_hears_of_it_and_the_first_does_not(central: CentralServer) -> None:
    net = Stretched(central)
    port = net.port()
    net.must_take(port)
    assert ("shadow", port["id"]) in central.jobs("site2")
    assert ("shadow", port["id"]) not in central.jobs("site1")
    assert ("port", port["id"]) not in central.jobs("site1")
    shadow = central.desired("site2", ("shadow", port["id"]))[("shadow", port["id"])]
    assert shadow["addresses"] == [port["fixed_ips"][0]["ip_address"]]
    assert shadow["encap_ip"] == "192.0.2.11"
    assert shadow["port_key"] == 7
    assert shadow["security_groups"] == net.groups
    assert central.desired("site1", ("shadow", port["id"]))[("shadow", port["id"])] is None


def test_reporting_twice_changes_nothing(central: CentralServer) -> None:
    net = Stretched(central)
    port = net.port()
    net.must_take(port)
    before = net.shown(port)
    central.clear_journal()
    assert net.report(port)["code"] == ""
    after = net.shown(port)
    assert {k: v for k, v in before.items() if k != "revision_number"} == {
        k: v for k, v in after.items() if k != "revision_number"
    } | {"updated_at": before["updated_at"]}
    assert central.jobs("site2") == set()


def test_a_change_of_no_interest_to_others_wakes_nobody(central: CentralServer) -> None:
    net = Stretched(central)
    port = net.port()
    net.must_take(port)
    central.clear_journal()
    base = dict(port)
    assert net.report({**port, "status": "DOWN", "isthmus:base": base})["code"] == ""
    assert net.shown(port)["status"] == "DOWN"
    assert net.report({**port, "name": "renamed", "isthmus:base": base})["code"] == ""
    assert net.shown(port)["name"] == "renamed"
    assert central.jobs("site2", "shadow") == set()
    assert central.jobs("site1", "port") == set()


def test_a_move_is_told(central: CentralServer) -> None:
    net = Stretched(central)
    port = net.port()
    net.must_take(port)
    central.clear_journal()
    moved = {**port["isthmus:location"], "chassis": "chassis-2", "encap_ip": "192.0.2.12"}
    said = {**port, "binding:host_id": "host2", "isthmus:location": moved, "isthmus:base": port}
    net.must_take(said)
    assert net.shown(port)["binding:host_id"] == "site1/host2"
    assert ("shadow", port["id"]) in central.jobs("site2")
    # Unbound, its shadow goes.
    central.clear_journal()
    nowhere = {"binding:host_id": "", "binding:vif_type": "unbound", "status": "DOWN"}
    net.must_take({**port, **nowhere, "isthmus:location": None, "isthmus:base": port})
    assert net.shown(port)["binding:host_id"] == ""
    assert ("shadow", port["id"]) in central.jobs("site2")
    assert central.desired("site2", ("shadow", port["id"]))[("shadow", port["id"])] is None


def test_changes_of_both_sides_are_kept(central: CentralServer) -> None:
    net = Stretched(central)
    port = net.port()
    net.must_take(port)
    central.clear_journal()
    body = {"port": {"description": "from central"}}
    central.call("PUT", f"/v2.0/ports/{port['id']}", body).only()
    assert ("port", port["id"]) in central.jobs("site1")
    central.clear_journal()
    assert net.report({**port, "name": "from the site", "isthmus:base": port})["code"] == ""
    shown = net.shown(port)
    assert (shown["name"], shown["description"]) == ("from the site", "from central")
    # The site does not have central's change yet, so it is told.
    assert ("port", port["id"]) in central.jobs("site1")


def test_a_group_given_at_central_goes_along(central: CentralServer) -> None:
    net = Stretched(central)
    port = net.port()
    net.must_take(port)
    central.clear_journal()
    group = central.create("security_group", net.user, name="g")
    body = {"port": {"security_groups": [group["id"]]}}
    central.call("PUT", f"/v2.0/ports/{port['id']}", body, net.user).only()
    assert {("port", port["id"]), ("security_group", group["id"])} <= central.jobs("site1")
    assert ("shadow", port["id"]) in central.jobs("site2")


def test_dhcp_options_come_and_go(central: CentralServer) -> None:
    net = Stretched(central)
    options = [
        {"opt_name": "mtu", "opt_value": "1400", "ip_version": 4},
        {"opt_name": "tftp-server", "opt_value": "192.0.2.1", "ip_version": 4},
    ]
    port = net.port(extra_dhcp_opts=options)
    assert net.report(port)["code"] == ""
    assert len(net.shown(port)["extra_dhcp_opts"]) == 2
    fewer = {**port, "extra_dhcp_opts": options[:1], "isthmus:base": port}
    assert net.report(fewer)["code"] == ""
    assert net.shown(port)["extra_dhcp_opts"] == options[:1]


def test_port_security_and_address_pairs(central: CentralServer) -> None:
    net = Stretched(central)
    open_port = net.port(port_security_enabled=False, security_groups=[])
    pairs = [
        {"ip_address": "10.0.0.240", "mac_address": "fa:16:01:aa:bb:cc"},
        {"ip_address": "10.0.0.241", "mac_address": "fa:16:01:00:00:77"},
    ]
    paired = net.port(mac_address="fa:16:01:00:00:77", allowed_address_pairs=pairs)
    results = central.report("site1", item(open_port), item(paired))
    assert [one["code"] for one in results] == ["", ""]
    keys = [("shadow", one["id"]) for one in (open_port, paired)]
    first, second = central.desired("site2", *keys).values()
    assert (first["accepts_unknown"], second["accepts_unknown"]) == (True, False)
    # An address of a pair moves between ports: OVN must not answer for it.
    assert second["addresses"] == [paired["fixed_ips"][0]["ip_address"]]
    assert second["extra_macs"] == ["fa:16:01:aa:bb:cc"]
    assert (first["answered"], second["answered"]) == (True, True)


def test_a_report_that_says_too_little(central: CentralServer) -> None:
    net = Stretched(central)
    port = net.port()
    del port["mac_address"]
    assert net.report(port)["code"] == "isthmus.refused.invalid"


def test_a_removed_port_is_gone_with_its_shadows(central: CentralServer) -> None:
    net = Stretched(central)
    port = net.port()
    net.must_take(port)
    central.clear_journal()
    (result,) = central.report("site1", item(port, gone=True))
    assert result["code"] == ""
    assert central.call("GET", f"/v2.0/ports/{port['id']}").status == 404
    assert central.jobs("site1") == set()
    assert central.jobs("site2") == {("shadow", port["id"])}
    assert central.call("GET", f"/v2.0/site-mappings?resource_id={port['id']}").only() == []
    (again,) = central.report("site1", item(port, gone=True))
    assert again["code"] == ""


def test_a_port_deleted_at_central_is_not_made_again(central: CentralServer) -> None:
    net = Stretched(central)
    port = net.port()
    net.must_take(port)
    central.clear_journal()
    assert central.call("DELETE", f"/v2.0/ports/{port['id']}").status == 204
    assert ("port", port["id"]) in central.jobs("site1")
    assert net.report(port)["code"] == "isthmus.refused.not_found"
    assert central.call("GET", f"/v2.0/ports/{port['id']}").status == 404
    central.acknowledge_all()
    assert central.call("GET", f"/v2.0/site-mappings?resource_id={port['id']}").only() == []


def test_a_late_batch_does_not_undo_a_newer_one(central: CentralServer) -> None:
    net = Stretched(central)
    port = net.port()
    net.must_take(port)
    late = central._sequence
    central.report("site1", item(port, gone=True))
    assert net.report(port, sequence=late)["code"] == "isthmus.transient.stale"
    assert central.call("GET", f"/v2.0/ports/{port['id']}").status == 404


def test_an_address_outside_the_lease_is_refused(central: CentralServer) -> None:
    net = Stretched(central)
    ip = [{"subnet_id": net.subnet["id"], "ip_address": net.address("site2")}]
    result = net.report(net.port(fixed_ips=ip))
    assert result["code"] == "isthmus.refused.conflict"
    assert "site2" in result["message"]


def test_one_bad_item_does_not_spoil_the_others(central: CentralServer) -> None:
    net = Stretched(central)
    good, bad = net.port(), net.port(security_groups=[str(uuid.uuid4())])
    results = central.report("site1", item(bad), item(good))
    assert [one["code"] for one in results] == ["isthmus.refused.not_found", ""]


def test_a_port_belongs_to_one_site(central: CentralServer) -> None:
    net = Stretched(central)
    port = net.port()
    net.must_take(port)
    (result,) = central.report("site2", item(port))
    assert result["code"] == "isthmus.refused.conflict"
    (result,) = central.report("site2", item(port, gone=True))
    assert result["code"] == ""
    assert net.shown(port)["binding:host_id"] == "site1/host1"


def test_a_late_site_gets_the_shadows_that_are_there(central: CentralServer) -> None:
    net = Stretched(central, present=("site1",))
    ports = [net.port() for _ in range(3)]
    central.report("site1", *map(item, ports))
    central.clear_journal()
    central.bundle("site2", "network", net.network["id"], project=net.project)
    assert central.jobs("site2") >= {("shadow", port["id"]) for port in ports}


def test_nobody_is_missed_when_much_happens_at_once(central: CentralServer) -> None:
    """A network comes to site2 while a subnet is made and ports move: site2 learns of them all."""
    for _ in range(4):
        net = Stretched(central, present=("site1",))
        ports = [net.port() for _ in range(3)]
        new = {"network_id": net.network["id"], "cidr": "10.0.1.0/24", "ip_version": 4}
        central._sequence += 1
        sequence = central._sequence
        with ThreadPoolExecutor(5) as threads:
            taken = [threads.submit(net.report, port, sequence=sequence) for port in ports]
            placed = threads.submit(
                central.bundle, "site2", "network", net.network["id"], project=net.project
            )
            made = threads.submit(central.create, "subnet", net.user, **new)
            assert [one.result() for one in taken if one.result()["code"]] == []
            assert placed.result()["items"]
            subnet = made.result()
        told = central.jobs("site2")
        got = {item["id"] for item in placed.result()["items"]}
        assert ("subnet", subnet["id"]) in told or subnet["id"] in got
        mapped = central.call("GET", f"/v2.0/site-mappings?resource_id={subnet['id']}").only()
        assert {one["site"] for one in mapped} == {"site1", "site2"}
        assert {("shadow", port["id"]) for port in ports} <= told


def test_slaac_addresses_are_taken_as_they_are(central: CentralServer) -> None:
    net = Stretched(central)
    six = central.create(
        "subnet",
        net.user,
        network_id=net.network["id"],
        cidr="2001:db8:77::/64",
        ip_version=6,
        ipv6_address_mode="slaac",
        ipv6_ra_mode="slaac",
    )
    port = net.port(mac_address="fa:16:01:00:00:09")
    derived = "2001:db8:77:0:f816:1ff:fe00:9"
    port["fixed_ips"].append({"subnet_id": six["id"], "ip_address": derived})
    assert net.report(port)["code"] == ""
    assert {one["ip_address"] for one in net.shown(port)["fixed_ips"]} == {
        one["ip_address"] for one in port["fixed_ips"]
    }
    assert net.report({**port, "name": "again", "isthmus:base": port})["code"] == ""
    assert net.shown(port)["name"] == "again"


def test_too_large_a_report_is_refused(central: CentralServer) -> None:
    items = [{"type": "port", "id": str(n), "state": None} for n in range(26)]
    body = {"site_report": {"sequence": 1, "items": items}}
    from tests.neutron.server import site_user

    reply = central.call("POST", "/v2.0/site-reports", body, site_user("site1"))
    assert reply.refusal() == (400, "isthmus.refused.invalid")


def test_a_first_report_whose_answer_was_lost_is_told_again_with_what_changed_since(
    central: CentralServer,
) -> None:
    """The site still knows nothing that both agreed on; central remembers what it made."""
    net = Stretched(central)
    port = net.port()
    assert net.report(port)["code"] == ""
    body = {"port": {"description": "said at central"}}
    assert central.call("PUT", f"/v2.0/ports/{port['id']}", body).status == 200
    other = net.address()
    ips = [*port["fixed_ips"], {"subnet_id": net.subnet["id"], "ip_address": other}]
    assert net.report({**port, "name": "said at the site", "fixed_ips": ips})["code"] == ""
    shown = net.shown(port)
    assert (shown["name"], shown["description"]) == ("said at the site", "said at central")
    assert other in {one["ip_address"] for one in shown["fixed_ips"]}
    state = central.desired("site1", ("port", port["id"]))["port", port["id"]]
    assert state["isthmus:base"]["description"] == "", "so that the site can merge as well"


@pytest.mark.parametrize("name", ["security_groups", "fixed_ips"])
def test_what_was_refused_at_first_stays_refused_and_is_not_taken_from_the_server(
    central: CentralServer, name: str
) -> None:
    net = Stretched(central)
    gone = str(uuid.uuid4())
    port = net.port()
    said = {
        "security_groups": [*net.groups, gone],
        "fixed_ips": [*port["fixed_ips"], {"subnet_id": gone, "ip_address": "10.9.9.9"}],
    }
    for _ in range(2):  # the answer to the first one was lost
        result = net.report({**port, name: said[name]})
        assert (result["code"], result["attributes"]) == ("isthmus.refused.not_found", [name])
        assert result["kept"] == {name: net.shown(port)[name]}
        assert net.shown(port)[name] == port[name], "the rest of it can be had"
        assert ("port", port["id"]) not in central.jobs("site1"), "nor is it taken away there"
    base = {**port, **result["kept"]}
    again = net.report({**port, name: said[name], "isthmus:base": base, "description": "x"})
    assert again["attributes"] == [name]
    assert net.shown(port)["description"] == "x"
    assert net.report({**port, "isthmus:base": base})["code"] == ""
    path = f"/v2.0/site-refusals?resource_id={port['id']}"
    assert central.call("GET", path).only() == []
