"""What a person searches for by name at a site, and only central has."""

import uuid
from typing import Any

import pytest
from tests.neutron.central_server import CentralServer
from tests.neutron.local_server import LocalServer
from tests.neutron.server import ADMIN, tenant

pytestmark = pytest.mark.neutron

#: What central did not know is remembered for longer than a test takes.
SITE1_OPTIONS = {"miss_ttl_s": 3600}


def make_network(central: CentralServer, project: str) -> tuple[Any, Any]:
    user = tenant(project)
    network = central.create("network", user, name=f"net-{project}")
    subnet = central.create(
        "subnet",
        user,
        network_id=network["id"],
        name=f"sub-{project}",
        cidr="10.0.0.0/24",
        ip_version=4,
    )
    return network, subnet


def searches(site: LocalServer) -> int:
    assert site.wan is not None
    return site.wan.count("GET /v2.0/")


def test_one_thing_of_a_name_comes_as_if_its_id_had_been_said(
    central: CentralServer, site1: LocalServer
) -> None:
    project = uuid.uuid4().hex
    network, subnet = make_network(central, project)
    path = f"networks?name={network['name']}"

    (found,) = site1.get(path, tenant(project)).only()

    shown = central.call("GET", f"/v2.0/networks/{network['id']}", user=tenant(project)).only()
    for name in ("id", "name", "project_id", "mtu", "shared", "subnets"):
        assert found[name] == shown[name], name
    assert "provider:network_type" not in found, "which an ordinary member may not see"
    # Nova looks for it as itself next, and central tells a service of this site nothing.
    assert network["id"] in {row["id"] for row in site1.rows("networks")}
    assert subnet["id"] in {row["id"] for row in site1.rows("subnets")}
    before = searches(site1)
    assert [one["id"] for one in site1.get(path, tenant(project)).only()] == [network["id"]]
    assert searches(site1) == before, "what is here is searched for here"


def test_several_things_of_a_name_are_shown_and_nothing_comes_of_it(
    central: CentralServer, site1: LocalServer
) -> None:
    assert site1.wan is not None
    project = uuid.uuid4().hex
    both = [make_network(central, project) for _ in range(2)]
    asked = site1.wan.asked()

    found = site1.get(f"networks?name=net-{project}", tenant(project)).only()

    assert {one["id"] for one in found} == {network["id"] for network, _ in both}
    assert "provider:network_type" not in found[0]
    assert site1.wan.asked() == asked
    for network, subnet in both:
        assert network["id"] not in {row["id"] for row in site1.rows("networks")}
        mapped = {row["resource_id"] for row in site1.rows("isthmus_site_mappings")}
        assert network["id"] not in mapped
        with central.database() as connection:
            leased = connection.exec_driver_sql(
                "SELECT count(*) FROM isthmus_leases WHERE site='site1' AND pool_id IN (?, ?)",
                (network["id"], subnet["id"]),
            ).scalar()
        assert leased == 0


def test_a_name_is_searched_for_as_the_person_who_asks(
    central: CentralServer, site1: LocalServer
) -> None:
    network, _ = make_network(central, uuid.uuid4().hex)
    path = f"networks?name={network['name']}"
    stranger = tenant(uuid.uuid4().hex)
    before = searches(site1)
    for _ in range(3):
        assert site1.get(path, stranger).only() == []
    assert searches(site1) == before + 1, "what central did not show is remembered for a while"
    assert network["id"] not in {row["id"] for row in site1.rows("networks")}
    assert [one["id"] for one in site1.get(path, ADMIN).only()] == [network["id"]]


def test_the_other_filters_and_the_fields_of_a_search_hold(
    central: CentralServer, site1: LocalServer
) -> None:
    project = uuid.uuid4().hex
    network, _ = make_network(central, project)
    path = f"networks?name={network['name']}"
    assert site1.get(f"{path}&project_id={uuid.uuid4().hex}", ADMIN).only() == []
    assert site1.get(f"{path}&router:external=True", tenant(project)).only() == []
    assert network["id"] not in {row["id"] for row in site1.rows("networks")}
    assert site1.get(f"{path}&fields=id", tenant(project)).only() == [{"id": network["id"]}]


@pytest.mark.parametrize(
    ("kind", "path"),
    [("subnet", "subnets"), ("security_group", "security-groups"), ("policy", "qos/policies")],
)
def test_other_things_have_names_too(
    kind: str, path: str, central: CentralServer, site1: LocalServer
) -> None:
    project = uuid.uuid4().hex
    _network, subnet = make_network(central, project)
    if kind == "subnet":
        made = subnet
    elif kind == "policy":
        body = {"name": f"q-{project}", "project_id": project}
        made = central.call("POST", "/v2.0/qos/policies", {"policy": body}).only()
    else:
        made = central.create(kind, tenant(project), name=f"g-{project}")
    (found,) = site1.get(f"{path}?name={made['name']}", tenant(project)).only()
    assert found["id"] == made["id"]
    table = {"subnet": "subnets", "policy": "qos_policies", "security_group": "securitygroups"}[
        kind
    ]
    assert made["id"] in {row["id"] for row in site1.rows(table)}


def test_a_name_at_home_needs_no_central_and_another_one_gets_the_reason(
    central: CentralServer, site1: LocalServer
) -> None:
    assert site1.wan is not None
    project = uuid.uuid4().hex
    network, _ = make_network(central, project)
    own = site1.create("network", tenant(project), name=f"own-{project}")
    site1.wan.cut()
    try:
        (found,) = site1.get(f"networks?name=own-{project}", tenant(project)).only()
        assert found["id"] == own["id"]
        answer = site1.get(f"networks?name={network['name']}", tenant(project))
        assert answer.status == 503
        assert network["name"] in answer.text
        assert "central cannot be reached" in answer.text
    finally:
        site1.wan.heal()
