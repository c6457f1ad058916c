"""A site's Neutron dies while it makes what a person asked for; the next try gets all of it.

Central has told the site in its answer and will not tell it again: what the dead process left half
made has to be noticed by who asks next.
"""

import uuid
from typing import Any

import pytest
from tests.neutron.central_server import CentralServer
from tests.neutron.local_server import LocalServer
from tests.neutron.server import tenant
from tests.neutron.test_local_crash import dying, site2

from isthmus.federation.identity import default_security_group_id

pytestmark = [pytest.mark.neutron, pytest.mark.timeout(600)]

__all__ = ["site2"]

POINTS = (
    "apply.address_group.made",
    "apply.security_group.made",  # the project's default group
    "apply.security_group.made:2",  # the port's own
    "apply.network.made",
    "apply.subnet.made",
)
#: The two that every run of the tests pays for; `./dev test all` does all of them.
DECISIVE = ("apply.security_group.made:2", "apply.network.made")


@pytest.mark.parametrize(
    "point",
    [pytest.param(one, marks=() if one in DECISIVE else pytest.mark.stress) for one in POINTS],
)
def test_what_a_dead_process_left_half_made_is_completed(
    central: CentralServer, site2: LocalServer, point: str
) -> None:
    project, guest = uuid.uuid4().hex, uuid.uuid4().hex
    user = tenant(project)
    network = central.create("network", user, name="n")["id"]
    for cidr in ("10.0.0.0/24", "10.0.1.0/24"):
        central.create("subnet", user, network_id=network, cidr=cidr, ip_version=4)
    addresses = central.create("address_group", user, name="a", addresses=["192.0.2.0/24"])["id"]
    group = central.create("security_group", user, name="g")["id"]
    remotes: list[dict[str, Any]] = [
        {"remote_address_group_id": addresses},
        {"remote_group_id": group},
    ]
    for remote in remotes:
        rule = {"security_group_id": group, "direction": "ingress", **remote}
        central.create("security_group_rule", user, **rule)
    objects = {"network": network, "security_group": group, "address_group": addresses}
    for kind, one in objects.items():
        action = "access_as_shared"
        rbac = {"object_type": kind, "object_id": one, "target_tenant": guest, "action": action}
        central.create("rbac_policy", user, **rbac)
    for path in (f"networks/{network}", f"security-groups/{group}"):
        assert central.call("PUT", f"/v2.0/{path}/tags/red", None).status == 201
    wanted = {"network_id": network, "security_groups": [group]}
    with dying(site2, point):
        site2.create("port", user, **wanted)
    port = site2.create("port", user, **wanted)
    assert port["security_groups"] == [group]

    default = default_security_group_id(project)
    for path in (
        f"networks/{network}",
        f"security-groups/{group}",
        f"security-groups/{default}",
        f"address-groups/{addresses}",
    ):
        there = central.call("GET", f"/v2.0/{path}").only()
        here = site2.get(path).only()
        for name in ("name", "tags", "addresses", "subnets"):
            assert sorted(here.get(name) or ()) == sorted(there.get(name) or ()), (path, name)
        rules = [
            {rule["id"] for rule in one.get("security_group_rules", ())} for one in (here, there)
        ]
        assert rules[0] == rules[1], path
    for table in ("networkrbacs", "securitygrouprbacs", "addressgrouprbacs"):
        shared = {row["object_id"] for row in site2.rows(table) if row["target_project"] == guest}
        assert len(shared & set(objects.values())) == 1, table
