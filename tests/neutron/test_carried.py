"""What travels between tiers, held against Neutron's own models and attribute maps."""

import json
import subprocess
import sys
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.neutron.carry import carry
from tests.neutron.central_server import CentralServer
from tests.neutron.local_server import LocalServer
from tests.neutron.server import tenant

pytestmark = pytest.mark.neutron

_MODELS = """
import json
from neutron.db.migration.models import head
from neutron_lib.db import model_base, standard_attr
import sqlalchemy as sa
from isthmus.neutron.central import listener
from isthmus.neutron.central.resource import registry
from isthmus.neutron.local.resource.registry import ROWS
mappers = [one for one in head.get_metadata() and model_base.BASEV2.registry.mappers
           if isinstance(one.local_table, sa.Table)]
wholes = {sa.inspect(one.model).local_table.name for one in registry.ROWS.values()}
roots = wholes | {"standardattributes"}
# Whatever says something of an object points to it, to one of its parts, or is loaded with it.
near = {one.class_ for one in mappers
        if {key.column.table.name for key in one.local_table.foreign_keys} & roots}
seen, todo = set(), [one.model for one in registry.ROWS.values()]
while todo:
    model = todo.pop()
    if model in seen:
        continue
    seen.add(model)
    todo += [one.mapper.class_ for one in sa.inspect(model).relationships
             if one.lazy not in ("select", "dynamic", "noload", "write_only")]
near |= seen
name = lambda model: sa.inspect(model).local_table.name
print(json.dumps({
    "near": sorted(map(name, near)),
    "handled": sorted(map(name, {**listener._PARTS, **listener._TOUCHES})),
    "parts": sorted(name(part) for one in ROWS.values() for part in one.parts),
    "unconcerned": dict(registry.OF_NO_CONCERN),
}))
"""


#: What central watches beside the parts that sites guard. A port forwarding names no router: a site
#: refuses it by the row of its floating IP, which Neutron gives the router with the first one.
#: A floating IP of central's is at no site, so there is none to give a policy to.
_GUARDED_OTHERWISE = {"portforwardings", "qos_fip_policy_bindings", "standardattributes", "tags"}


def ask(program: str) -> Any:
    """Run a program that imports Neutron, which changes the whole interpreter."""
    ran = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0, ran.stderr[-3000:]
    return json.loads(ran.stdout.splitlines()[-1])


def test_every_model_near_a_carried_object_is_watched_or_has_its_reason() -> None:
    found = ask(_MODELS)
    handled, unconcerned = set(found["handled"]), set(found["unconcerned"])
    assert {"networks", "securitygrouprbacs", "tags", "qos_port_policy_bindings"} <= set(
        found["near"]
    )
    assert set(found["near"]) - handled - unconcerned == set()
    assert handled & unconcerned == set()
    assert unconcerned - set(found["near"]) == set(), "a reason for a model that is not there"
    assert handled == {*found["parts"], *_GUARDED_OTHERWISE}
    assert all(len(reason) > 10 for reason in found["unconcerned"].values())


@pytest.mark.parametrize(
    ("kind", "action"),
    [
        ("network", "access_as_shared"),
        ("security_group", "access_as_shared"),
        ("address_group", "access_as_shared"),
        ("qos_policy", "access_as_shared"),
    ],
)
def test_sharing_and_unsharing_reaches_a_site(
    central: CentralServer, site1: LocalServer, kind: str, action: str
) -> None:
    owner, other = tenant(uuid.uuid4().hex), tenant(uuid.uuid4().hex)
    thing = _make_used(central, site1, owner, kind)
    path = f"{_COLLECTIONS.get(kind, kind.replace('_', '-') + 's')}/{thing}"
    central.clear_journal()
    assert site1.get(path, other).status == 404
    policy = central.create(
        "rbac_policy",
        owner,
        object_type=kind,
        object_id=thing,
        target_tenant=other.project,
        action=action,
    )
    assert (kind, thing) in central.jobs("site1")
    assert set(carry(central, site1).values()) == {""}
    assert site1.get(path, other).status == 200
    third = tenant(uuid.uuid4().hex)
    changed = central.call(
        "PUT",
        f"/v2.0/rbac-policies/{policy['id']}",
        {"rbac_policy": {"target_tenant": third.project}},
    )
    assert changed.status == 200
    assert (kind, thing) in central.jobs("site1")
    assert set(carry(central, site1).values()) == {""}
    assert (site1.get(path, other).status, site1.get(path, third).status) == (404, 200)
    assert central.call("DELETE", f"/v2.0/rbac-policies/{policy['id']}", user=owner).status == 204
    assert (kind, thing) in central.jobs("site1")
    assert set(carry(central, site1).values()) == {""}
    assert site1.get(path, third).status == 404
    assert site1.get(path, owner).status == 200


#: Paths in the API that do not follow from the type.
_COLLECTIONS = {"qos_policy": "qos/policies"}


def _make_used(central: CentralServer, site1: LocalServer, owner: Any, kind: str) -> str:
    """Make an object of a type at central and use it at a site; gives its id."""
    policy = _policy(central, owner)
    network = central.create("network", owner, name="n", qos_policy_id=policy)
    central.create("subnet", owner, network_id=network["id"], cidr="10.0.0.0/24", ip_version=4)
    group = central.create("security_group", owner, name="g")
    addresses = central.create("address_group", owner, name="a", addresses=["192.0.2.1/32"])
    central.create(
        "security_group_rule",
        owner,
        security_group_id=group["id"],
        direction="ingress",
        remote_address_group_id=addresses["id"],
    )
    site1.create("port", owner, network_id=network["id"], security_groups=[group["id"]])
    made = {"network": network, "security_group": group, "address_group": addresses}
    made["qos_policy"] = {"id": policy}
    return str(made[kind]["id"])


@pytest.mark.parametrize("kind", ["network", "subnet", "port", "security_group"])
def test_tags_are_centrals_and_come_along(
    central: CentralServer, site1: LocalServer, kind: str
) -> None:
    owner = tenant(uuid.uuid4().hex)
    network = central.create("network", owner, name="n")
    ids = {"network": network["id"]}
    ids["subnet"] = central.create(
        "subnet", owner, network_id=network["id"], cidr="10.0.0.0/24", ip_version=4
    )["id"]
    ids["security_group"] = central.create("security_group", owner, name="g")["id"]
    ids["address_group"] = central.create("address_group", owner, name="a", addresses=[])["id"]
    central.create(
        "security_group_rule",
        owner,
        security_group_id=ids["security_group"],
        direction="ingress",
        remote_address_group_id=ids["address_group"],
    )
    ids["port"] = central.create(
        "port", owner, network_id=network["id"], security_groups=[ids["security_group"]]
    )["id"]
    path = f"/v2.0/{kind.replace('_', '-')}s/{ids[kind]}"
    before = central.call("PUT", f"{path}/tags", {"tags": ["early", "late"]}, owner)
    assert before.status == 200, before.text
    # It comes to the site that changes it.
    assert site1.update("port", ids["port"], owner, description="here").status == 200
    show = path.removeprefix("/v2.0/")
    assert sorted(site1.get(show, owner).only()["tags"]) == ["early", "late"]
    central.clear_journal()
    assert central.call("PUT", f"{path}/tags/more", user=owner).status in (200, 201)
    assert central.call("DELETE", f"{path}/tags/early", user=owner).status == 204
    assert (kind, ids[kind]) in central.jobs("site1")
    assert set(carry(central, site1).values()) == {""}
    assert sorted(site1.get(show, owner).only()["tags"]) == ["late", "more"]
    assert site1.call("PUT", f"{path}/tags", {"tags": ["mine"]}, owner).status == 409
    assert site1.call("DELETE", f"{path}/tags", user=owner).status == 409
    assert sorted(site1.get(show, owner).only()["tags"]) == ["late", "more"]


_ATTRIBUTES = """
import importlib, json, pkgutil
import neutron.extensions
import neutron_lib.api.definitions
from isthmus.neutron.api import carried
from isthmus.neutron.central.resource.registry import ATTRIBUTES
found = {name: set() for name in ATTRIBUTES}
for package in (neutron_lib.api.definitions, neutron.extensions):
    for one in pkgutil.iter_modules(package.__path__):
        module = importlib.import_module(f"{package.__name__}.{one.name}")
        for maps in ("RESOURCE_ATTRIBUTE_MAP", "EXTENDED_ATTRIBUTES_2_0"):
            attributes = getattr(module, maps, None)
            for name in found if isinstance(attributes, dict) else ():
                found[name] |= set(attributes.get(name) or ())
from neutron_lib.db import standard_attr
print(json.dumps({
    "found": {name: sorted(one) for name, one in found.items()},
    "known": {name: sorted(one) for name, one in ATTRIBUTES.items()},
    "unexplained": sorted(
        f"{name}.{key}" for name, one in ATTRIBUTES.items() for key, fate in one.items()
        if fate.fate is not carried.Fate.CARRIED and len(fate.reason) < 10
    ),
    "refused": {
        name: sorted(key for key, fate in one.items() if fate.fate is carried.Fate.REFUSED)
        for name, one in ATTRIBUTES.items()
    },
}))
"""


def test_every_attribute_of_neutron_has_its_fate() -> None:
    said = ask(_ATTRIBUTES)
    for collection, found in said["found"].items():
        assert {"name", "mtu"} <= set(said["found"]["networks"])
        assert set(found) - set(said["known"][collection]) == set(), collection
    assert said["unexplained"] == []


@pytest.fixture(scope="module")
def laden(neutron_template: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A central that loads QoS and every ML2 extension driver that does without routers."""
    drivers = (
        "port_security,qos,data_plane_status,uplink_status_propagation,"
        "port_device_profile,port_hardware_offload_type,port_hints,port_numa_affinity_policy,"
        "port_trusted"
    )
    server = CentralServer(
        tmp_path_factory.mktemp("laden"),
        neutron_template,
        extra={
            "ml2": {"extension_drivers": drivers},
            "DEFAULT": {"service_plugins": "isthmus_central,isthmus_central_qos,segments"},
        },
    )
    server.start()
    try:
        server.make_sites()
        yield server
    finally:
        server.kill()


def test_each_attribute_of_a_laden_central_has_its_fate(laden: CentralServer) -> None:
    owner = tenant(uuid.uuid4().hex)
    network = laden.create("network", owner, name="n")
    subnet = laden.create(
        "subnet", owner, network_id=network["id"], cidr="10.0.0.0/24", ip_version=4
    )
    port = laden.create("port", owner, network_id=network["id"])
    group = laden.create("security_group", owner, name="g")
    addresses = laden.create("address_group", owner, name="a", addresses=["192.0.2.1/32"])
    policy = _policy(laden, owner)
    known = ask(_ATTRIBUTES)["known"]
    for path, collection in (
        (f"networks/{network['id']}", "networks"),
        (f"subnets/{subnet['id']}", "subnets"),
        (f"ports/{port['id']}", "ports"),
        (f"security-groups/{group['id']}", "security_groups"),
        (f"address-groups/{addresses['id']}", "address_groups"),
        (f"qos/policies/{policy}", "policies"),
    ):
        shown = laden.call("GET", f"/v2.0/{path}").only()
        assert set(shown) - set(known[collection]) == set(), collection
    (rule, *_) = laden.call("GET", "/v2.0/security-group-rules").only()
    assert set(rule) - set(known["security_group_rules"]) == set()


#: Values other than the default of what central refuses.
_UNCARRIED: dict[str, dict[str, Any]] = {
    "subnet": {"segment_id": "SEGMENT"},
    "port": {
        "device_profile": "gpu",
        "numa_affinity_policy": "required",
        "hints": {"openvswitch": {"other_config": {"tx-steering": "hash"}}},
        "propagate_uplink_status": False,
        "hardware_offload_type": "switchdev",
        "trusted": True,
    },
}


@pytest.mark.parametrize(("kind", "name"), [(k, n) for k, one in _UNCARRIED.items() for n in one])
def test_what_no_site_realises_is_refused_by_its_reason(
    laden: CentralServer, kind: str, name: str
) -> None:
    value = _UNCARRIED[kind][name]
    network = laden.create("network")
    if value == "SEGMENT":
        (segment,) = laden.call("GET", f"/v2.0/segments?network_id={network['id']}").only()
        value = segment["id"]
    bodies: dict[str, dict[str, Any]] = {
        "network": {},
        "subnet": {"network_id": network["id"], "cidr": "10.0.0.0/24", "ip_version": 4},
        "port": {"network_id": network["id"]},
    }
    body = bodies[kind]
    made = laden.try_create(kind, **{**body, name: value})
    assert made.status == 400, made.text
    assert f"{name} cannot be set at central" in made.text
    many = laden.call("POST", f"/v2.0/{kind}s", {f"{kind}s": [{**body}, {**body, name: value}]})
    assert many.status == 400, many.text
    have = laden.create(kind, **body)
    path = f"/v2.0/{kind}s/{have['id']}"
    changed = laden.call("PUT", path, {kind: {name: value}})
    assert changed.status == 400, changed.text
    if name == "numa_affinity_policy":
        # What is as it was may be said again, as a client does that sends all it has read.
        again = laden.call("PUT", path, {kind: {name: have[name], "name": "same"}})
        assert again.status == 200, again.text


def _policy(central: CentralServer, owner: Any) -> str:
    """Make a policy for a project; a member may not."""
    body = {"policy": {"name": "p", "project_id": owner.project}}
    return str(central.call("POST", "/v2.0/qos/policies", body).only()["id"])


def test_what_is_carried_is_offered_at_central(central: CentralServer) -> None:
    offered = {one["alias"] for one in central.call("GET", "/v2.0/extensions").only()}
    assert {
        "port-security",
        "qos",
        "trunk",
        "trunk-details",
        "qos-fip",
        "qos-gateway-ip",
    } <= offered


def test_what_the_home_says_of_a_port_is_refused_at_central(
    central: CentralServer, site1: LocalServer
) -> None:
    owner = tenant(uuid.uuid4().hex)
    network = central.create("network", owner, name="n")
    central.create("subnet", owner, network_id=network["id"], cidr="10.0.0.0/24", ip_version=4)
    port = central.create("port", owner, network_id=network["id"])
    path = f"/v2.0/ports/{port['id']}"
    before = central.call("PUT", path, {"port": {"device_id": "vm", "device_owner": "compute:x"}})
    assert before.status == 200, before.text
    came = site1.update("port", port["id"], owner, description="here")
    assert came.only()["device_owner"] == "compute:x"
    for name, value in (
        ("device_id", "other"),
        ("device_owner", "compute:y"),
        ("binding:host_id", "host1"),
        ("binding:vnic_type", "direct"),
    ):
        changed = central.call("PUT", path, {"port": {name: value}})
        assert changed.status == 409, (name, changed.text)
        assert "has its home at site site1" in changed.text
        assert name in changed.text
    same = central.call("PUT", path, {"port": {"device_id": "vm", "name": "web"}})
    assert same.only()["name"] == "web"
