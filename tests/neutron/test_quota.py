"""Quotas over sites: central's bind what sites make, a site's keep nothing of central's away."""

import ipaddress
import uuid
from typing import Any

import pytest
from tests.neutron.carry import carry
from tests.neutron.central_server import CentralServer
from tests.neutron.local_server import LocalServer
from tests.neutron.server import ADMIN, Server, tenant

from isthmus.testing.until import until

pytestmark = pytest.mark.neutron


def set_quota(server: Server, project: str, **limits: int) -> None:
    reply = server.call("PUT", f"/v2.0/quotas/{project}", {"quota": limits}, ADMIN)
    assert reply.status == 200, reply.text


def make_network(central: CentralServer, project: str) -> str:
    network = central.create("network", tenant(project), name="n")
    central.create(
        "subnet", tenant(project), network_id=network["id"], cidr="10.0.0.0/24", ip_version=4
    )
    return str(network["id"])


def count(server: Server, project: str) -> int:
    return len(server.call("GET", f"/v2.0/ports?project_id={project}").only())


def test_a_site_makes_no_more_than_central_allows(
    central: CentralServer, site1: LocalServer
) -> None:
    project = uuid.uuid4().hex
    user = tenant(project)
    network = make_network(central, project)
    set_quota(central, project, port=1)
    first = site1.create("port", user, network_id=network)
    until(
        lambda: count(central, project) == 1,
        what="the first port to be known at central",
        timeout_s=120,
    )
    # The site asks nobody, so a port is made that central will not take; from then on, none.
    second = site1.create("port", user, network_id=network)

    def refused() -> Any:
        return any(row["resource_id"] == second["id"] for row in site1.rows("isthmus_refusals"))

    until(refused, what="the second port to be refused", timeout_s=120)
    third: list[Any] = []

    def over() -> bool:
        reply = site1.try_create("port", user, network_id=network)
        if reply.status == 201:
            third.append(reply.only())
            return False
        return reply.refusal() == (409, "OverQuota")

    until(over, what="the site to refuse more", timeout_s=120)
    assert count(central, project) == 1
    # Others, and networks of the site's own, are not concerned.
    other = uuid.uuid4().hex
    site1.create("port", tenant(other), network_id=make_network(central, other))
    own = site1.create("network", user, name="own")
    site1.create("subnet", user, network_id=own["id"], cidr="10.9.0.0/24", ip_version=4)
    assert site1.try_create("port", user, network_id=own["id"]).status == 201
    # What goes makes room: central takes the other one then, with nobody's help.
    for one in third:
        assert site1.delete("port", one["id"], user).status == 204
    assert site1.delete("port", first["id"], user).status == 204

    def known() -> bool:
        return central.call("GET", f"/v2.0/ports/{second['id']}").status == 200

    until(known, what="central to take the port that has room now", timeout_s=180)
    set_quota(central, project, port=5)
    until(
        lambda: site1.try_create("port", user, network_id=network).status == 201,
        what="the site to make ports again",
        timeout_s=180,
    )


def test_three_reports_of_a_project_that_may_have_one_port(central: CentralServer) -> None:
    project = uuid.uuid4().hex
    network = make_network(central, project)
    bundle = central.bundle("site2", "network", network, project=project)
    (subnet,) = [one for one in bundle["items"] if one["type"] == "subnet"]
    leases = [
        one["state"]
        for one in bundle["items"]
        if one["type"] == "lease" and one["state"]["kind"] == "subnet"
    ]
    start = int(leases[0]["first"])
    set_quota(central, project, port=1)
    items = []
    for number in range(3):
        port_id = str(uuid.uuid4())
        items.append(
            {
                "type": "port",
                "id": port_id,
                "state": {
                    "id": port_id,
                    "network_id": network,
                    "project_id": project,
                    "name": f"p{number}",
                    "mac_address": f"fa:16:3e:aa:00:0{number}",
                    "fixed_ips": [
                        {
                            "subnet_id": subnet["id"],
                            "ip_address": str(ipaddress.ip_address(start + number)),
                        }
                    ],
                    "security_groups": [],
                    "device_id": "",
                    "device_owner": "",
                    "admin_state_up": True,
                    "isthmus:base": None,
                    "isthmus:location": None,
                },
            }
        )
    codes = [one["code"] for one in central.report("site2", *items)]
    assert codes == ["", *["isthmus.refused.exhausted.over_quota"] * 2]
    assert count(central, project) == 1
    set_quota(central, project, port=2)
    codes = [one["code"] for one in central.report("site2", *items)]
    assert codes == ["", "", "isthmus.refused.exhausted.over_quota"]
    assert count(central, project) == 2


def test_a_sites_own_quota_keeps_nothing_of_centrals_away(
    central: CentralServer, site1: LocalServer
) -> None:
    project = uuid.uuid4().hex
    user = tenant(project)
    network = make_network(central, project)
    nothing = {
        "network": 0,
        "subnet": 0,
        "port": 0,
        "security_group": 0,
        "security_group_rule": 0,
        "rbac_policy": 0,
    }
    set_quota(site1, project, **nothing)
    group = central.create("security_group", user, name="g")
    for number in (80, 443):
        central.create(
            "security_group_rule",
            user,
            security_group_id=group["id"],
            direction="ingress",
            protocol="tcp",
            port_range_min=number,
            port_range_max=number,
        )
    port = central.create("port", user, network_id=network, security_groups=[group["id"]])
    assert site1.update("port", port["id"], user, description="here").status == 200
    here = site1.get(f"security-groups/{group['id']}", user).only()
    assert len(here["security_group_rules"]) == 4
    central.clear_journal()
    central.create(
        "subnet", user, network_id=network, cidr="10.1.0.0/24", ip_version=4, gateway_ip=None
    )
    central.create("security_group_rule", user, security_group_id=group["id"], direction="ingress")
    assert set(carry(central, site1).values()) == {""}
    # The site's own objects stand under the site's own quota, as ever.
    assert site1.try_create("network", user, name="own").refusal() == (409, "OverQuota")
    assert site1.try_create("security_group", user, name="own").refusal() == (409, "OverQuota")
