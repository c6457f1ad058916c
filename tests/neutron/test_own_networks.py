"""A site's own networks beside central's: segmentation ids that meet, and default groups.

What a site made for itself keeps nothing of central's away, and nobody takes it for central's.
"""

import uuid
from typing import Any

import pytest
from tests.neutron.central_server import CentralServer
from tests.neutron.local_server import LocalServer
from tests.neutron.server import ADMIN, User, tenant
from tests.neutron.test_renewal import Pair

from isthmus.federation.audits.audit import audit
from isthmus.federation.audits.holdings import parse_holdings
from isthmus.federation.identity import default_security_group_id
from isthmus.model.site import SiteName

pytestmark = pytest.mark.neutron

SITE = SiteName("site1")
TYPE, ID = "provider:network_type", "provider:segmentation_id"


def _rare(case: str) -> Any:
    """Mark a case that not every run of the tests pays for."""
    return pytest.param(case, marks=pytest.mark.stress)


def make_network(central: CentralServer, user: User, **more: Any) -> dict[str, Any]:
    network = central.create("network", ADMIN, project_id=user.project, name="n", **more)
    central.create("subnet", user, network_id=network["id"], cidr="10.0.0.0/24", ip_version=4)
    return network


def findings(pair: Pair, *ids: str) -> list[str]:
    """Give what an audit says of some objects."""
    tiers = [
        parse_holdings(server.call("GET", "/v2.0/site-holdings").only()[0])
        for server in (pair.central, pair.site)
    ]
    found = audit(tiers[0], {SITE: tiers[1]})
    return [str(one) for one in found.findings if any(name in str(one) for name in ids)]


@pytest.fixture(scope="module")
def pair(central: CentralServer, site1: LocalServer) -> Pair:
    return Pair(central, site1)


# Segmentation ids


@pytest.mark.parametrize(
    "how", ["extended ahead of use", "beyond the ranges", _rare("a port of central's")]
)
def test_a_site_chooses_its_own_segmentation_id(pair: Pair, how: str) -> None:
    central, site = pair.central, pair.site
    user = tenant(uuid.uuid4().hex)
    asked = {TYPE: "geneve", ID: 16_000_000} if how == "beyond the ranges" else {}
    network = make_network(central, user, **asked)
    if how != "beyond the ranges":  # the site's own network has the id already
        own = site.create("network", ADMIN, name="own", **{TYPE: "geneve", ID: network[ID]})
    if how == "extended ahead of use":
        central.create("site_presence", ADMIN, network_id=network["id"], site=SITE)
        pair.settle()
        assert network["id"] in {row["id"] for row in site.rows("networks")}
    elif how == "a port of central's":
        guest = central.create("port", user, network_id=network["id"])
        site.update("port", guest["id"], ADMIN, **{"binding:host_id": "host1"}).only()
    port = site.create("port", user, network_id=network["id"])
    assert port["fixed_ips"]
    here = site.get(f"networks/{network['id']}").only()
    assert here[ID] != network[ID]
    # What changes at central later arrives, and nobody takes the other id for a difference.
    body = {"network": {"name": "new"}}
    central.call("PUT", f"/v2.0/networks/{network['id']}", body).only()
    pair.settle()
    after = site.get(f"networks/{network['id']}").only()
    assert (after["name"], after[ID]) == ("new", here[ID])
    assert f"network {network['id']}" not in pair.renew()
    assert findings(pair, network["id"]) == []
    if how != "beyond the ranges":
        assert site.get(f"networks/{own['id']}").only()[ID] == network[ID]


def test_an_id_that_central_uses_is_free_at_a_site(pair: Pair) -> None:
    """The site's own network comes second: it asks for the id of a copy that chose another one."""
    central, site = pair.central, pair.site
    user = tenant(uuid.uuid4().hex)
    network = make_network(central, user)
    first = site.create("network", ADMIN, name="own", **{TYPE: "geneve", ID: network[ID]})
    site.create("port", user, network_id=network["id"])
    assert site.delete("network", first["id"]).status == 204
    again = site.create("network", ADMIN, name="own", **{TYPE: "geneve", ID: network[ID]})
    assert again[ID] == network[ID]
    here = site.get(f"networks/{network['id']}").only()
    clash = site.try_create("network", ADMIN, name="own", **{TYPE: "geneve", ID: here[ID]})
    assert clash.status == 409, clash.text
    assert site.create("port", user, network_id=network["id"])["fixed_ips"]


# Default groups


def add_rule(server: Any, user: User, group: str, port: int) -> Any:
    return server.try_create(
        "security_group_rule",
        user,
        security_group_id=group,
        direction="ingress",
        protocol="tcp",
        port_range_min=port,
        port_range_max=port,
    )


def ports_of(server: Any, group: str) -> set[int]:
    """Give the TCP ports that a group lets in."""
    rules = server.call("GET", f"/v2.0/security-groups/{group}").only()["security_group_rules"]
    return {rule["port_range_min"] for rule in rules if rule["port_range_min"]}


class Alone:
    """A project with a network of the site's own, whose default group is in both tiers."""

    def __init__(self, pair: Pair) -> None:
        self.pair = pair
        self.user = tenant(uuid.uuid4().hex)
        self.group = default_security_group_id(self.user.project)
        central, site = pair.central, pair.site
        (there,) = central.call("GET", "/v2.0/security-groups", user=self.user).only()
        assert there["id"] == self.group
        self.own = site.create("network", self.user, name="own")["id"]
        site.create("subnet", self.user, network_id=self.own, cidr="10.9.0.0/24", ip_version=4)
        self.port = site.create("port", self.user, network_id=self.own)
        assert self.port["security_groups"] == [self.group]
        assert add_rule(central, self.user, self.group, 80).status == 201
        assert add_rule(site, self.user, self.group, 22).status == 201

    def check_alone(self) -> None:
        """See that each tier has its own, and that nobody minds."""
        self.pair.settle()
        assert (ports_of(self.pair.central, self.group), ports_of(self.pair.site, self.group)) == (
            {80},
            {22},
        )
        assert f"security_group {self.group}" not in self.pair.renew()
        assert findings(self.pair, self.group) == []


def test_the_default_group_of_a_project_without_stretched_networks_is_the_sites(
    pair: Pair,
) -> None:
    alone = Alone(pair)
    alone.check_alone()
    rules = pair.site.get(f"security-groups/{alone.group}").only()["security_group_rules"]
    (mine,) = [rule["id"] for rule in rules if rule["port_range_min"] == 22]
    assert pair.site.delete("security_group_rule", mine, alone.user).status == 204
    assert ports_of(pair.site, alone.group) == set()
    # In force on the port of the site's own network, as everywhere in Neutron.
    assert add_rule(pair.site, alone.user, alone.group, 22).status == 201
    name = f"pg_{alone.group.replace('-', '_')}"
    acls = pair.site.ovn.nbctl("--type=port-group", "acl-list", name)
    assert "tcp.dst == 22" in acls
    assert "tcp.dst == 80" not in acls


@pytest.mark.parametrize(
    "use", ["a network", _rare("a port of central's"), _rare("a shared network")]
)
def test_with_the_first_use_of_centrals_the_default_group_is_centrals(pair: Pair, use: str) -> None:
    alone = Alone(pair)
    central, site = pair.central, pair.site
    if use == "a shared network":
        owner = tenant(uuid.uuid4().hex)
        network = make_network(central, owner)
        central.create(
            "rbac_policy",
            owner,
            object_type="network",
            object_id=network["id"],
            target_tenant=alone.user.project,
            action="access_as_shared",
        )
    else:
        network = make_network(central, alone.user)
    alone.check_alone()  # that there is such a network says nothing yet
    if use == "a port of central's":
        guest = central.create("port", alone.user, network_id=network["id"])
        site.update("port", guest["id"], ADMIN, **{"binding:host_id": "host1"}).only()
    else:
        site.create("port", alone.user, network_id=network["id"])
    assert ports_of(site, alone.group) == {80}
    refused = add_rule(site, alone.user, alone.group, 23)
    assert refused.refusal() == (409, "BelongsToCentral")
    assert add_rule(central, alone.user, alone.group, 443).status == 201
    pair.settle()
    assert ports_of(site, alone.group) == ports_of(central, alone.group) == {80, 443}
    assert f"security_group {alone.group}" not in pair.renew()
    assert findings(pair, alone.group) == []
    # The port of the site's own network is in it as before.
    assert site.get(f"ports/{alone.port['id']}").only()["security_groups"] == [alone.group]
