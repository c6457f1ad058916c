"""A site gives back what it does not use, and reuses nothing of which others have yet to hear."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from tests.neutron import invariants
from tests.neutron.carry import carry
from tests.neutron.central_server import CentralServer
from tests.neutron.local_server import LocalServer
from tests.neutron.server import tenant
from tests.neutron.test_local_lease import blocks, make_network, number

from isthmus.store.sql.tables import SITES
from isthmus.testing.until import until

pytestmark = pytest.mark.neutron


@pytest.fixture(scope="module")
def central(
    neutron_template: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[CentralServer]:
    """A central that waits for sites as long as a slow machine needs."""
    server = CentralServer(
        tmp_path_factory.mktemp("central"),
        neutron_template,
        extra={"isthmus": {"recall_wait_s": 50}},
    )
    server.start()
    try:
        server.make_sites()
        yield server
    finally:
        server.kill()


@pytest.fixture
def carried(central: CentralServer, site1: LocalServer) -> Iterator[threading.Event]:
    """Carry what central wants to site1, as Xjob does, as long as the event is not set."""
    stopped = threading.Event()

    def run() -> None:
        while not stopped.wait(0.2):
            carry(central, site1)

    thread = threading.Thread(target=run)
    thread.start()
    yield stopped
    until(lambda: not invariants.find_faults(central, site1), what="agreement", timeout_s=60)
    stopped.set()
    thread.join()


def name_at_central(central: CentralServer, network: Any, address: str) -> Any:
    user = tenant(network["project_id"])
    wanted = [{"ip_address": address}]
    return central.try_create("port", user, network_id=network["id"], fixed_ips=wanted)


def test_an_idle_address_of_a_site_may_be_named_at_central(
    central: CentralServer, site1: LocalServer, carried: threading.Event
) -> None:
    network, subnet = make_network(central, "10.0.0.0/24")
    user = tenant(network["project_id"])
    used = {number(site1.create("port", user, network_id=network["id"])) for _ in range(3)}
    ((first, last),) = blocks(site1, subnet)
    idle = [one for one in range(first + 1, last) if one not in used]
    wanted = f"10.0.0.{idle[len(idle) // 2] % 256}"
    port = name_at_central(central, network, wanted).only()
    assert port["fixed_ips"][0]["ip_address"] == wanted
    # The site has the rest and goes on with it; central and it agree on what that is.
    more = [site1.create("port", user, network_id=network["id"]) for _ in range(3)]
    assert number(port) not in {number(one) for one in more}
    assert sum(b - a + 1 for a, b in blocks(site1, subnet)) == last - first
    # One that is in use there is refused, for good.
    answer = name_at_central(central, network, f"10.0.0.{min(used) % 256}")
    assert answer.refusal() == (409, "isthmus.refused.conflict")
    assert "leased to site site1" in answer.text


def test_a_site_that_is_cut_off_is_not_waited_for(
    central: CentralServer, site1: LocalServer
) -> None:
    network, subnet = make_network(central, "10.0.0.0/24")
    site1.create("port", tenant(network["project_id"]), network_id=network["id"])
    with central.database(write=True) as connection:
        connection.execute(sa.update(SITES).values(reachability="unreachable"))
    try:
        ((_, last),) = blocks(site1, subnet)
        answer = name_at_central(central, network, f"10.0.0.{last % 256}")
    finally:
        central.hear()
    assert answer.refusal() == (409, "isthmus.refused.conflict")
    with central.database() as connection:
        assert not connection.exec_driver_sql("SELECT * FROM isthmus_recalls").all()


def test_pools_shrink_where_nobody_uses_what_goes(
    central: CentralServer, site1: LocalServer, carried: threading.Event
) -> None:
    network, subnet = make_network(central, "10.0.0.0/24")
    site1.get(f"networks/{network['id']}", tenant(network["project_id"])).only()
    ((first, last),) = blocks(site1, subnet)
    middle = (first + last) // 2
    pools = [{"start": f"10.0.0.{middle % 256}", "end": "10.0.0.254"}]
    changed = central.call(
        "PUT", f"/v2.0/subnets/{subnet['id']}", {"subnet": {"allocation_pools": pools}}
    ).only()
    assert changed["allocation_pools"] == pools
    assert blocks(site1, subnet) == [(middle, last)]


def test_the_last_addresses_are_not_hoarded(
    central: CentralServer, site1: LocalServer, carried: threading.Event
) -> None:
    network, subnet = make_network(
        central, "10.0.0.0/24", allocation_pools=[{"start": "10.0.0.10", "end": "10.0.0.25"}]
    )
    user = tenant(network["project_id"])
    site1.create("port", user, network_id=network["id"])
    site1.create("port", user, network_id=network["id"])
    made = [central.create("port", user, network_id=network["id"]) for _ in range(14)]
    assert len({number(port) for port in made}) == 14
    full = central.try_create("port", user, network_id=network["id"])
    assert full.refusal() == (409, "IpAddressGenerationFailure")
    assert sum(b - a + 1 for a, b in blocks(site1, subnet)) == 2


def test_taking_and_giving_back_at_once(
    central: CentralServer, site1: LocalServer, carried: threading.Event
) -> None:
    """Ports are made at the site while central asks for the numbers that they are about to take."""
    network, subnet = make_network(central, "10.0.0.0/25")
    user = tenant(network["project_id"])
    central.call("PUT", f"/v2.0/quotas/{network['project_id']}", {"quota": {"port": -1}})
    site1.create("port", user, network_id=network["id"])
    ((first, last),) = blocks(site1, subnet)
    with ThreadPoolExecutor(4) as threads:
        at_site = [
            threads.submit(site1.try_create, "port", user, network_id=network["id"])
            for _ in range(10)
        ]
        at_central = [
            threads.submit(name_at_central, central, network, f"10.0.0.{one % 256}")
            for one in range(first, last, 3)
        ]
        made = [one.result() for one in (*at_site, *at_central)]
    good = [one.only() for one in made if one.status == 201]
    assert len({number(port) for port in good}) == len(good)
    assert {one.status for one in made} <= {201, 409, 503}
    assert any(one.result().status == 201 for one in at_central)


def test_an_address_of_a_site_rests_until_all_have_heard(
    central: CentralServer, site1: LocalServer
) -> None:
    network, subnet = make_network(central, "10.0.0.0/24")
    user = tenant(network["project_id"])
    port = site1.create("port", user, network_id=network["id"])
    address = port["fixed_ips"][0]["ip_address"]
    until(lambda: central.call("GET", f"/v2.0/ports/{port['id']}").status == 200)
    central.bundle("site2", "network", network["id"], project=network["project_id"])
    theirs = central.lease_request(
        "site2", kind="subnet", pool_id=subnet["id"], count=0, address=address
    )
    assert theirs.status == 409
    assert "site1: only a port that is made at that site can have it" in theirs.text
    assert site1.wan is not None
    site1.wan.cut()
    try:
        assert site1.delete("port", port["id"], user).status == 204
        taken = {number(site1.create("port", user, network_id=network["id"])) for _ in range(6)}
        again = site1.try_create(
            "port", user, network_id=network["id"], fixed_ips=[{"ip_address": address}]
        )
        # As of a port that the site's Neutron lost, and whose server may run on.
        site1.ovn.nbctl("lsp-add", f"neutron-{network['id']}", port["id"])

        def says_so() -> bool:
            answer = site1.try_create(
                "port", user, network_id=network["id"], fixed_ips=[{"ip_address": address}]
            )
            assert answer.status == 503
            return f"ovn-nbctl lsp-del {port['id']} at the site" in answer.text

        until(says_so, what="what is in the way is named", timeout_s=60)
        site1.ovn.nbctl("lsp-del", port["id"])
    finally:
        site1.wan.heal()
    assert number(port) not in taken
    assert again.status == 503
    assert "not every other site has heard" in again.text
    assert "at central" not in again.text, "central has no other answer"

    def may_have_it() -> bool:
        answer = site1.try_create(
            "port", user, network_id=network["id"], fixed_ips=[{"ip_address": address}]
        )
        return answer.status == 201

    until(may_have_it, what="the address after everybody has heard", timeout_s=60)
    assert any(first <= number(port) <= last for first, last in blocks(site1, subnet))
