"""What objects need at a site comes along with them, by whichever way they come there.

A port may be found at a site, return with one that was removed, or be asked for; a network may be
adopted. Each time the site gets their QoS policies and security groups, and hears of their changes
from then on.
"""

from typing import Any

import pytest
from tests.neutron.central_server import CentralServer
from tests.neutron.test_qos_policies import limit, make_policy, person
from tests.neutron.test_registration import (
    applied,
    named,
    register,
    restored,
    try_register,
)

pytestmark = pytest.mark.neutron


class Needy:
    """A network and a port that need policies and groups; the policies are its owner's."""

    def __init__(self, central: CentralServer) -> None:
        self.central, self.user = central, person()
        self.policies = [make_policy(central, self.user) for _ in range(2)]
        wide, narrow = self.policies
        network = central.create("network", self.user, name="n", qos_policy_id=wide)
        self.network = str(network["id"])
        subnet = {"network_id": self.network, "cidr": "10.0.0.0/24", "ip_version": 4}
        self.subnet = str(central.create("subnet", self.user, **subnet)["id"])
        # A group, and one that only its rules name.
        self.groups = [self.make("security_group", name="g") for _ in range(2)]
        self.add_rule(self.groups[0], remote_group_id=self.groups[1])
        values = {"network_id": self.network, "security_groups": self.groups[:1]}
        self.port = self.make("port", qos_policy_id=narrow, **values)

    def make(self, kind: str, **values: Any) -> str:
        return str(self.central.create(kind, self.user, **values)["id"])

    def add_rule(self, group: str, **more: Any) -> None:
        rule = {"security_group_id": group, "direction": "ingress", "ethertype": "IPv4", **more}
        self.make("security_group_rule", **rule)

    def ask(self, site: str, kind: str, one: str) -> None:
        self.central.bundle(site, kind, one, project=self.user.project)

    def home(self) -> list[str]:
        path = f"/v2.0/site-mappings?type=port&resource_id={self.port}"
        return [row["site"] for row in self.central.call("GET", path).only()]

    def assert_told(self, site: str, *, port: bool = True) -> None:
        """Check that a site is told of what is needed there, and of its changes afterwards."""
        policies = self.policies if port else self.policies[:1]
        needed = {("qos_policy", one) for one in policies}
        needed |= {("security_group", one) for one in self.groups if port}
        self._assert_among_jobs(site, needed, "comes along")
        self.central.clear_journal()
        for one in policies:
            limit(self.central, one, self.user, max_kbps=1000)
        for one in self.groups:
            self.add_rule(one, protocol="tcp")
        self._assert_among_jobs(site, needed, "is told of")

    def _assert_among_jobs(self, site: str, needed: set[tuple[str, str]], what: str) -> None:
        assert not needed - self.central.jobs(site), f"not everything {what}"
        kinds = {kind for kind, _ in needed}
        states = self.central.desired(site, *sorted(needed))
        assert all(states.values()), (kinds, states)


def test_a_port_that_is_found_at_a_site_brings_its_needs(central: CentralServer) -> None:
    needy = Needy(central)
    needy.ask("site1", "port", needy.port)
    needy.ask("site2", "network", needy.network)
    central.clear_journal()
    with restored(central):
        register(central, "site1", ports=[])
        register(central, "site2", ports=[needy.port])
    assert needy.home() == ["site2"]
    needy.assert_told("site2")


def test_a_port_at_a_site_whose_network_is_adopted_too_brings_its_needs(
    central: CentralServer,
) -> None:
    """A site that central's backup does not know to have anything of the network."""
    needy = Needy(central)
    needy.ask("site1", "port", needy.port)
    central.clear_journal()
    epoch_of_site = register(central, "site2", leases=None)["epoch"]
    with restored(central):
        register(central, "site1", ports=[])
        keys = named(needy.network, 2000, 2001, "port_key")
        said = {"ports": [needy.port], "leases": [keys], "epoch": epoch_of_site + 1}
        answer = register(central, "site2", **said)
        assert answer["void"] == []
    assert needy.home() == ["site2"]
    needy.assert_told("site2")


@pytest.mark.parametrize("how", ["lease", "stray"])
def test_a_network_that_is_adopted_brings_its_policy(central: CentralServer, how: str) -> None:
    needy = Needy(central)
    central.clear_journal()
    with restored(central):
        said: dict[str, Any] = {"ports": [], "leases": [named(needy.network, 9, 9, "port_key")]}
        if how == "stray":
            stray = ["site2", needy.port, needy.network, 9, []]
            said = {"ports": None, "shadows": [stray], "leases": []}
        register(central, "site1", ports=[])
        answer = register(central, "site2", **said)
        assert answer["void"] == []
    mapped = central.call("GET", f"/v2.0/site-mappings?resource_id={needy.network}").only()
    assert [row["site"] for row in mapped] == ["site2"]
    needy.assert_told("site2", port=False)


def remake(central: CentralServer, name: str) -> None:
    """Remove a site, which returns nothing, and make it again."""
    central.call("PUT", f"/v2.0/sites/{name}", {"site": {"state": "disabled"}})
    assert central.call("DELETE", f"/v2.0/sites/{name}").status == 204
    make_site(central, name)


def make_site(central: CentralServer, name: str) -> None:
    body: dict[str, Any] = {"region": name, "availability_zones": ["z"]}
    central.create("site", name=name, service_user=f"isthmus-{name}", **body)
    central.hear()


def test_a_site_that_comes_back_gets_what_its_ports_need(central: CentralServer) -> None:
    make_site(central, "again")
    needy = Needy(central)
    told = try_register(central, "again").only()
    needy.ask("again", "port", needy.port)
    told = register(central, "again", **applied(told))
    leases = [
        {key: one[key] for key in ("id", "kind", "pool_id", "first", "last")}
        for one in told["leases"]
    ]
    remake(central, "again")
    assert needy.home()[0].startswith("gone/")
    # It has other needs by now.
    needy.policies[1] = make_policy(central, needy.user)
    needy.groups = [needy.make("security_group", name="g")]
    body = {"qos_policy_id": needy.policies[1], "security_groups": needy.groups}
    changed = central.call("PUT", f"/v2.0/ports/{needy.port}", {"port": body}, needy.user)
    assert changed.status == 200, changed.text
    said = {key: told[key] for key in ("registration", "heard", "proof")}
    answer = try_register(central, "again", leases=leases, ports=[needy.port], **said).only()
    assert answer["void"] == []
    assert needy.home() == ["again"]
    every = central.call("GET", "/v2.0/site-mappings").only()
    assert {row["site"] for row in every} <= {"site1", "site2", "again"}
    needy.assert_told("again")
