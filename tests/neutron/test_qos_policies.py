"""QoS policies that central has: at the sites of their ports and networks, and in OVN there."""

import uuid
from collections.abc import Iterable
from typing import Any

import pytest
import sqlalchemy as sa
from tests.neutron.carry import carry
from tests.neutron.central_server import CentralServer
from tests.neutron.local_server import LocalServer
from tests.neutron.server import ADMIN, Reply, Server, User
from tests.neutron.test_local_apply import carried
from tests.neutron.test_own_networks import findings
from tests.neutron.test_renewal import Pair

from isthmus.store.sql.tables import SITE_MAPPINGS
from isthmus.testing.until import until

pytestmark = [pytest.mark.neutron, pytest.mark.stress]


def person() -> User:
    """Give somebody who may make policies: a project's manager."""
    project = uuid.uuid4().hex
    return User(f"user-of-{project}", project, ("manager", "member", "reader"))


def bound(site: LocalServer, user: User, network: str) -> dict[str, Any]:
    """Make a port that is bound to a host of the site."""
    port = site.create("port", user, network_id=network)
    return dict(site.update("port", port["id"], ADMIN, **{"binding:host_id": "host1"}).only())


def make_policy(server: Server, user: User, **more: Any) -> str:
    body = {"policy": {"name": "p", **more}}
    return str(server.call("POST", "/v2.0/qos/policies", body, user).only()["id"])


def rule(server: Server, policy: str, kind: str, user: User, one: str = "", **values: Any) -> Reply:
    """Make a rule of a policy, or change one; without values delete it."""
    path = f"/v2.0/qos/policies/{policy}/{kind}_rules" + (f"/{one}" if one else "")
    method = "POST" if not one else "PUT" if values else "DELETE"
    return server.call(method, path, {f"{kind}_rule": values} if values else None, user)


def limit(server: Server, policy: str, user: User, **values: Any) -> dict[str, Any]:
    made = rule(server, policy, "bandwidth_limit", user, **values)
    assert made.status == 201, made.text
    return dict(made.only())


def make_network(central: CentralServer, user: User, **more: Any) -> str:
    network = central.create("network", user, name="n", **more)
    central.create("subnet", user, network_id=network["id"], cidr="10.0.0.0/24", ip_version=4)
    return str(network["id"])


def shown(server: Server, policy: str, user: User) -> Any:
    return server.call("GET", f"/v2.0/qos/policies/{policy}", user=user).only()


def in_ovn(site: LocalServer, port: str) -> set[str]:
    """Give what OVN limits of a port: direction, rates and marks."""
    found = site.ovn.nbctl(
        "--data=bare",
        "--format=csv",
        "--no-headings",
        "--columns=direction,bandwidth,action",
        "find",
        "QoS",
        f"external_ids:neutron\\:port_id={port}",
    )
    return set(found.split())


def by_id(rules: Iterable[Any]) -> dict[str, Any]:
    return {one["id"]: one for one in rules}


def put(server: Server, kind: str, one: str, user: User, **values: Any) -> Reply:
    return server.call("PUT", f"/v2.0/{kind}s/{one}", {kind: values}, user)


def test_a_policy_of_a_network_and_of_a_port_is_at_their_site(
    central: CentralServer, site1: LocalServer
) -> None:
    user = person()
    wide, narrow = make_policy(central, user), make_policy(central, user, description="d")
    up = limit(central, wide, user, max_kbps=3000, max_burst_kbps=300)
    limit(central, narrow, user, max_kbps=1000)
    network = make_network(central, user, qos_policy_id=wide)
    # It comes along with the network, on demand.
    port = bound(site1, user, network)
    assert port["qos_network_policy_id"] == wide
    assert shown(site1, wide, user)["rules"] == shown(central, wide, user)["rules"]
    assert site1.get(f"networks/{network}", user).only()["qos_policy_id"] == wide
    first = in_ovn(site1, port["id"])
    assert "3000" in " ".join(first), first
    until(lambda: at_central(central, port["id"]), what="the port is at central")
    # A port's own comes before its network's; it was not at the site before.
    assert site1.call("GET", f"/v2.0/qos/policies?id={narrow}", user=user).status == 200
    changed = put(central, "port", port["id"], user, qos_policy_id=narrow)
    assert changed.status == 200, changed.text
    assert ("port", port["id"]) in central.jobs("site1")
    carried(central, site1)
    assert site1.get(f"ports/{port['id']}", user).only()["qos_policy_id"] == narrow
    until(lambda: "1000" in " ".join(in_ovn(site1, port["id"])), what="OVN has the port's own")
    # Rules: more, changed, gone.
    limit(central, narrow, user, max_kbps=2000, direction="ingress")
    mark = rule(central, narrow, "dscp_marking", user, dscp_mark=26)
    carried(central, site1)
    assert by_id(shown(site1, narrow, user)["rules"]) == by_id(
        shown(central, narrow, user)["rules"]
    )
    text = " ".join(in_ovn(site1, port["id"]))
    assert "2000" in text, text
    assert "dscp=26" in text, text
    (out,) = [
        one for one in shown(central, narrow, user)["rules"] if one.get("direction") == "egress"
    ]
    assert rule(central, narrow, "bandwidth_limit", user, out["id"], max_kbps=1500).status == 200
    assert rule(central, narrow, "dscp_marking", user, mark.only()["id"]).status == 204
    carried(central, site1)
    text = " ".join(in_ovn(site1, port["id"]))
    assert "1500" in text, text
    assert "dscp" not in text, text
    # Back to the network's, and to none.
    assert put(central, "port", port["id"], user, qos_policy_id=None).status == 200
    carried(central, site1)
    assert in_ovn(site1, port["id"]) == first
    assert rule(central, wide, "bandwidth_limit", user, up["id"]).status == 204
    carried(central, site1)
    assert in_ovn(site1, port["id"]) == set()
    check_goes(central, site1, user, network, [wide, narrow])


def check_goes(
    central: CentralServer, site1: LocalServer, user: User, network: str, policies: list[str]
) -> None:
    """See that what is in use stays, and that of what is not nothing is left in any tier."""
    path = f"/v2.0/qos/policies/{policies[0]}"
    assert central.call("DELETE", path, user=user).status == 409
    assert put(central, "network", network, user, qos_policy_id=None).status == 200
    for one in policies:
        gone = central.call("DELETE", f"/v2.0/qos/policies/{one}", user=user)
        assert gone.status == 204, gone.text
    carried(central, site1)
    assert site1.get(f"networks/{network}", user).only()["qos_policy_id"] is None
    for tier in (central, site1):
        for one in policies:
            assert tier.call("GET", f"/v2.0/qos/policies/{one}", user=user).status == 404
        with tier.database() as connection:
            ours = SITE_MAPPINGS.select().where(SITE_MAPPINGS.c.resource_id.in_(policies))
            assert connection.execute(ours).all() == []


def at_central(central: CentralServer, port: str) -> bool:
    return central.call("GET", f"/v2.0/ports/{port}").status == 200


def test_a_network_that_is_there_gets_a_policy_and_a_site_names_one(
    central: CentralServer, site1: LocalServer
) -> None:
    user, other = person(), person()
    network = make_network(central, user)
    port = bound(site1, user, network)
    policy = make_policy(central, user)
    limit(central, policy, user, max_kbps=4000)
    assert put(central, "network", network, user, qos_policy_id=policy).status == 200
    jobs = central.jobs("site1")
    assert {("qos_policy", policy), ("network", network)} <= jobs
    carried(central, site1)
    assert "4000" in " ".join(in_ovn(site1, port["id"]))
    # A person at the site names a policy that only central knows.
    second = make_policy(central, user)
    limit(central, second, user, max_kbps=5000)
    named = site1.update("port", port["id"], user, qos_policy_id=second)
    assert named.status == 200, named.text
    assert "5000" in " ".join(in_ovn(site1, port["id"]))

    def told() -> bool:
        return bool(
            central.call("GET", f"/v2.0/ports/{port['id']}").only()["qos_policy_id"] == second
        )

    until(told, what="central has heard of the port's policy")
    made = site1.create("port", user, network_id=network, qos_policy_id=second)
    assert made["qos_policy_id"] == second
    # The site's own policy would be unknown elsewhere; another project's does not exist.
    mine = make_policy(site1, user)
    refused = site1.update("port", port["id"], user, qos_policy_id=mine)
    assert refused.status == 400, refused.text
    assert "make the policy at central" in refused.text
    theirs = make_policy(central, other)
    assert site1.update("port", port["id"], user, qos_policy_id=theirs).status == 404
    assert site1.call("GET", f"/v2.0/qos/policies/{theirs}", user=user).status == 404
    # On a network of the site's own either is taken.
    own = site1.create("network", user, name="own", qos_policy_id=mine)
    third = make_policy(central, user)
    assert site1.update("network", own["id"], user, qos_policy_id=third).status == 200
    # It is in use there: central's delete waits for the site.
    assert central.call("DELETE", f"/v2.0/qos/policies/{third}", user=user).status == 204
    assert carry(central, site1)[third] == "isthmus.refused.in_use"
    assert site1.delete("network", own["id"], user).status == 204
    carried(central, site1)
    assert site1.call("GET", f"/v2.0/qos/policies/{third}", user=user).status == 404


def test_tags_of_a_policy_come_along(central: CentralServer, site1: LocalServer) -> None:
    user = person()
    policy = make_policy(central, user)
    site1.create("port", user, network_id=make_network(central, user, qos_policy_id=policy))
    tags = f"/v2.0/qos/policies/{policy}/tags"
    assert central.call("PUT", f"{tags}/early", user=user).status in (200, 201)
    carried(central, site1)
    assert shown(site1, policy, user)["tags"] == ["early"]
    assert central.call("PUT", f"{tags}/late", user=user).status in (200, 201)
    assert central.call("DELETE", f"{tags}/early", user=user).status == 204
    assert ("qos_policy", policy) in central.jobs("site1")
    carried(central, site1)
    assert shown(site1, policy, user)["tags"] == ["late"]


def test_a_site_changes_nothing_of_centrals_policies(
    central: CentralServer, site1: LocalServer
) -> None:
    user = person()
    policy = make_policy(central, user)
    one = limit(central, policy, user, max_kbps=1000)["id"]
    assert shown(site1, policy, user)["rules"]
    path = f"/v2.0/qos/policies/{policy}"
    for call, where, said in (
        ("PUT", path, {"policy": {"name": "mine"}}),
        ("PUT", path, {"policy": {"is_default": True}}),
        ("DELETE", path, None),
        ("PUT", f"{path}/tags/mine", None),
        ("POST", f"{path}/dscp_marking_rules", {"dscp_marking_rule": {"dscp_mark": 10}}),
        ("PUT", f"{path}/bandwidth_limit_rules/{one}", {"bandwidth_limit_rule": {"max_kbps": 1}}),
        ("DELETE", f"{path}/bandwidth_limit_rules/{one}", None),
        ("DELETE", f"/v2.0/qos/alias-bandwidth-limit-rules/{one}", None),
        (
            "POST",
            "/v2.0/rbac-policies",
            {
                "rbac_policy": {
                    "object_type": "qos_policy",
                    "object_id": policy,
                    "target_tenant": uuid.uuid4().hex,
                    "action": "access_as_shared",
                }
            },
        ),
    ):
        # For anybody else Neutron looks in vain for the project of a rule that has an alias.
        refused = site1.call(call, where, said, ADMIN if "alias" in where else user)
        assert refused.status == 409, (call, where, refused.text)
        assert "belongs to central" in refused.text, (call, where, refused.text)


def test_central_takes_the_rules_that_ml2_ovn_takes(central: CentralServer) -> None:
    user = person()
    types = {one["type"] for one in central.call("GET", "/v2.0/qos/rule-types").only()}
    assert types == {"bandwidth_limit", "dscp_marking", "minimum_bandwidth"}
    policy = make_policy(central, user)
    network = make_network(central, user)
    assert rule(central, policy, "minimum_bandwidth", user, min_kbps=10).status == 201
    # Neutron knows no parent of these, and answers 500 to anybody but an administrator.
    rate = rule(central, policy, "packet_rate_limit", ADMIN, max_kpps=10)
    assert rate.status == 201, rate.text
    for kind, one in (
        ("network", network),
        ("port", central.create("port", user, network_id=network)["id"]),
    ):
        refused = put(central, kind, one, user, qos_policy_id=policy)
        assert refused.status == 409, refused.text
        assert "packet_rate_limit" in refused.text


def test_a_projects_default_is_centrals_to_give(central: CentralServer, site1: LocalServer) -> None:
    user = person()
    mine = make_policy(site1, user, is_default=True)
    bare = make_network(central, user)
    site1.create("port", user, network_id=bare)
    assert site1.get(f"networks/{bare}", user).only()["qos_policy_id"] is None
    policy = make_policy(central, user, is_default=True)
    network = make_network(central, user)
    port = site1.create("port", user, network_id=network)
    assert port["qos_network_policy_id"] == policy
    assert shown(site1, policy, user)["is_default"] is False
    assert shown(site1, mine, user)["is_default"] is True


def test_limits_and_minimums_change_in_any_order(
    central: CentralServer, site1: LocalServer
) -> None:
    user = person()
    policy = make_policy(central, user)
    most = limit(central, policy, user, max_kbps=1000)["id"]
    least = rule(central, policy, "minimum_bandwidth", user, min_kbps=500, direction="egress")
    assert least.status == 201, least.text
    one = least.only()["id"]
    assert shown(site1, policy, user)["rules"]
    low, high = ({"min_kbps": 100}, {"max_kbps": 200}), ({"min_kbps": 8000}, {"max_kbps": 9000})
    for (floor, ceiling), order in ((low, 1), (high, -1)):
        steps = (("minimum_bandwidth", one, floor), ("bandwidth_limit", most, ceiling))
        for kind, which, values in steps[::order]:
            changed = rule(central, policy, kind, user, which, **values)
            assert changed.status == 200, changed.text
        carried(central, site1)
        there = by_id(shown(central, policy, user)["rules"])
        assert by_id(shown(site1, policy, user)["rules"]) == there
    # Directions that change places: what central came to by three steps is one here.
    back = limit(central, policy, user, max_kbps=9500, direction="ingress")["id"]
    carried(central, site1)
    assert rule(central, policy, "bandwidth_limit", user, back).status == 204
    assert rule(central, policy, "bandwidth_limit", user, most, direction="ingress").status == 200
    limit(central, policy, user, max_kbps=9600, direction="egress")
    carried(central, site1)
    there = by_id(shown(central, policy, user)["rules"])
    assert by_id(shown(site1, policy, user)["rules"]) == there


def test_rows_changed_by_hand_are_found_and_healed(
    central: CentralServer, site1: LocalServer
) -> None:
    user = person()
    pair = Pair(central, site1)
    policy = make_policy(central, user)
    one = limit(central, policy, user, max_kbps=1000)["id"]
    network = make_network(central, user, qos_policy_id=policy)
    port = site1.create("port", user, network_id=network, qos_policy_id=policy)
    pair.settle()
    assert findings(pair, policy, network, port["id"]) == []
    with site1.database(write=True) as connection:
        connection.execute(
            sa.text(f"UPDATE qos_bandwidth_limit_rules SET max_kbps = 7 WHERE id = '{one}'")
        )
        connection.execute(
            sa.text(f"DELETE FROM qos_network_policy_bindings WHERE network_id = '{network}'")
        )
    found = findings(pair, policy, network, port["id"])
    assert any(policy in one for one in found), found
    assert any(network in one for one in found), found
    noted = pair.renew()
    assert f"qos_policy {policy}" in noted
    assert f"network {network}" in noted
    pair.settle()
    assert findings(pair, policy, network, port["id"]) == []
    assert pair.renew() == []
