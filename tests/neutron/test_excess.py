"""What went since a backup is not back with it, at the restored tier or at any other."""

import ipaddress
import uuid
from typing import Any

import pytest
from tests.neutron import invariants
from tests.neutron.server import ADMIN, site_user
from tests.neutron.test_restore import Cloud, cloud

from isthmus.testing.until import until

__all__ = ["cloud"]

pytestmark = [pytest.mark.neutron, pytest.mark.timeout(900)]

_BOUND = {"binding:host_id": "host1", "device_owner": "compute:nova", "device_id": "d"}


def report_far(cloud: Cloud, *, like: dict[str, Any] | None = None) -> dict[str, Any]:
    """Have site2 report a port of its own, with the numbers of another one if one is given."""
    leases = {
        one["kind"]: int(one["first"])
        for one in cloud.central.call("GET", "/v2.0/site-leases?site=site2").only()
        if one["pool_id"] in (cloud.subnet["id"], cloud.network["id"])
    }
    address = str(ipaddress.ip_address(leases["subnet"]))
    state = {
        "id": str(uuid.uuid4()),
        "network_id": cloud.network["id"],
        "project_id": "p",
        "name": "far",
        "admin_state_up": True,
        "mac_address": "fa:16:42:" + ":".join(f"{one:02x}" for one in uuid.uuid4().bytes[:3]),
        "fixed_ips": [{"subnet_id": cloud.subnet["id"], "ip_address": address}],
        "security_groups": [],
        "device_owner": "compute:nova",
        "device_id": "d",
        "binding:host_id": "far1",
        "binding:vif_type": "ovs",
        "status": "ACTIVE",
        "isthmus:base": None,
        "isthmus:location": {
            "chassis": "hv-far",
            "hostname": "far1",
            "encap_ip": "192.0.9.1",
            "port_key": leases["port_key"],
        },
    }
    if like is not None:
        assert state["fixed_ips"] == like["fixed_ips"]
    say(cloud, {"type": "port", "id": state["id"], "state": state})
    return state


def say(cloud: Cloud, item: dict[str, Any]) -> None:
    (result,) = cloud.central.report("site2", item)
    assert result["code"] == "", result


def shadows(cloud: Cloud) -> set[str]:
    return {row["port_id"] for row in cloud.site.rows("isthmus_shadows")}


def quiet(cloud: Cloud) -> None:
    """Carry until nothing is owed; site2 takes all that it is told."""
    cloud.central.acknowledge_all("site2")
    cloud.settle()


def test_a_restored_site_has_nothing_that_went_since(cloud: Cloud) -> None:
    """Not even where a port of it, which went as well, would keep it there."""
    central, site = cloud.central, cloud.site
    cloud.boot()
    network = central.create("network", cloud.user, name="n2")["id"]
    subnet = central.create(
        "subnet", cloud.user, network_id=network, cidr="10.1.0.0/24", ip_version=4
    )["id"]
    group = central.create("security_group", cloud.user, name="g2")["id"]
    guest = central.create("port", cloud.user, network_id=cloud.network["id"])["id"]
    site.update("port", guest, ADMIN, **_BOUND).only()
    own, other = (
        site.create("port", ADMIN, network_id=at, project_id="p", security_groups=groups, **_BOUND)
        for at, groups in ((cloud.network["id"], []), (network, [group]))
    )
    far = report_far(cloud)
    quiet(cloud)
    assert far["id"] in shadows(cloud)
    copy = cloud.back_up(site, "before")
    assert central.call("DELETE", f"/v2.0/ports/{guest}").status == 204
    for one in (own, other):
        assert site.delete("port", one["id"]).status == 204
    cloud.settle()
    for path in (f"networks/{network}", f"security-groups/{group}"):
        assert central.call("DELETE", f"/v2.0/{path}").status == 204
    say(cloud, {"type": "port", "id": far["id"], "state": None})
    quiet(cloud)
    successor = report_far(cloud, like=far)
    quiet(cloud)

    cloud.restore(site, copy)
    quiet(cloud)
    for tier in (central, site):
        for one in (guest, own["id"], other["id"]):
            assert tier.call("GET", f"/v2.0/ports/{one}").status == 404, (tier.folder, one)
    gone = {network, subnet, group}
    for table in ("networks", "subnets", "securitygroups"):
        assert not gone & {row["id"] for row in site.rows(table)}
    assert far["id"] not in shadows(cloud)
    assert successor["id"] in shadows(cloud)
    assert central.call("GET", "/v2.0/site-refusals").only() == []
    invariants.check(central, site)


@pytest.mark.stress
def test_what_went_while_central_was_restored_is_told_before_its_address_is_used(
    cloud: Cloud,
) -> None:
    """Central never knew the port, and the site has its shadow."""
    central = cloud.central
    cloud.boot()
    quiet(cloud)
    copy = cloud.back_up(central, "before")
    far = report_far(cloud)
    cloud.settle()
    assert far["id"] in shadows(cloud)
    assert cloud.site.wan is not None
    cloud.site.wan.cut()
    cloud.restore(central, copy)

    number = str(int(ipaddress.ip_address(far["fixed_ips"][0]["ip_address"])))

    def rests() -> bool:
        asked = [{"number": number, "port": far["id"]}]
        answer = central.lease_request(
            "site2", kind="subnet", pool_id=cloud.subnet["id"], count=0, resting=asked
        )
        return bool(answer.only()["resting"])

    sites = {one["name"]: one["id"] for one in central.call("GET", "/v2.0/sites").only()}
    until(lambda: cloud.epoch(central) > 1, timeout_s=60, what="central knows")
    body = {"registration": sites["site2"], "epoch": 1, "leases": [], "ports": []}
    path, user = "/v2.0/site-registrations", site_user("site2")
    assert central.call("POST", path, {"site_registration": body}, user).status == 201
    say(cloud, {"type": "port", "id": far["id"], "state": None})
    assert rests(), "site1 has not been heard"
    cloud.site.wan.heal()
    until(lambda: not cloud.why(central), timeout_s=120, what="central has recovered")
    assert rests(), "site1 has the shadow"

    def is_gone() -> bool:
        cloud.settle()
        return far["id"] not in shadows(cloud)

    until(is_gone, timeout_s=600, what="the site has heard of it")
    assert not rests()
