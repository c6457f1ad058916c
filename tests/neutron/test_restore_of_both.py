"""Central and a site go back to backups one after the other, twice, while ports are made."""

import http.client
import threading
from collections.abc import Iterator
from typing import Any

import pytest
import sqlalchemy as sa
from tests.neutron import invariants
from tests.neutron.carry import carry
from tests.neutron.server import Server, site_user
from tests.neutron.test_restore import Cloud, cloud
from tests.neutron.test_routers import join

from isthmus.model.site import SiteName
from isthmus.store.sql.tables import SITE_MAPPINGS

pytestmark = [pytest.mark.neutron, pytest.mark.stress, pytest.mark.timeout(1500)]

__all__ = ["cloud"]


class Life:
    """What people do meanwhile: ports at both tiers, and routers."""

    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud
        self.failed: list[Any] = []
        self._turn = 0

    def go_on(self, turns: int) -> None:
        """Do a few things; what a tier refuses that is down, or has not recovered, is refused."""
        for _ in range(turns):
            self._turn += 1
            try:
                self._live()
            except (OSError, http.client.HTTPException):
                continue  # it is down

    def _live(self) -> None:
        cloud, central = self._cloud, self._cloud.central
        cloud.try_boot()
        network = cloud.network["id"]
        made = central.try_create("port", cloud.user, network_id=network)
        if made.status == 201 and self._turn % 2:
            router = central.create("router", cloud.user, name=f"r{self._turn}")
            joined = join(central, router, cloud.user, port_id=made.only()["id"])
            self.failed += [] if joined.status < 500 else [joined]
        self.failed += [made] if made.status not in (201, 503) else []
        if self._turn % 3 == 0:
            carry(central, cloud.site)


def register_site2(cloud: Cloud) -> None:
    """Have site2, which only asks, register: it has nothing."""
    sites = {one["name"]: one["id"] for one in cloud.central.call("GET", "/v2.0/sites").only()}
    said = {"registration": sites["site2"], "epoch": 1, "leases": [], "ports": []}
    body = {"site_registration": said}
    cloud.central.call("POST", "/v2.0/site-registrations", body, site_user("site2")).only()


def show(tier: Server) -> dict[str, Any]:
    """Give MAC and addresses of each port, but for those that never leave their tier."""
    return {
        one["id"]: (one["mac_address"], sorted(ip["ip_address"] for ip in one["fixed_ips"]))
        for one in tier.call("GET", "/v2.0/ports").only()
        if one["device_owner"] != "network:distributed"
    }


def of_everybody(cloud: Cloud) -> Iterator[tuple[str, str]]:
    """Give (port, MAC or address) of what either tier knows."""
    for tier in (cloud.site, cloud.central):
        for port_id, (mac, addresses) in show(tier).items():
            for word in (mac, *addresses):
                yield port_id, word


@pytest.mark.parametrize("order", ["scsc", "cscs", "cssc", "sccs"])
def test_both_go_back_twice(cloud: Cloud, order: str) -> None:
    tiers: dict[str, Server] = {"s": cloud.site, "c": cloud.central}
    life = Life(cloud)
    cloud.boot()
    life.go_on(1)
    cloud.settle()
    copies = {one: cloud.back_up(tier, f"{one}0") for one, tier in tiers.items()}
    for number, one in enumerate(order):
        if number == 2:
            cloud.settle()
            copies = {one: cloud.back_up(tier, f"{one}2") for one, tier in tiers.items()}
        stop = threading.Event()

        def live(stop: threading.Event = stop) -> None:
            while not stop.is_set():
                life.go_on(1)

        thread = threading.Thread(target=live, daemon=True)
        life.go_on(4)
        thread.start()
        try:
            cloud.restore(tiers[one], copies[one])
            if one == "c":
                register_site2(cloud)
        finally:
            stop.set()
            thread.join()
    cloud.settle()
    for _ in range(4):
        cloud.boot()
    life.go_on(4)
    cloud.settle()
    assert life.failed == []
    invariants.check(cloud.central, cloud.site)
    owners: dict[str, set[str]] = {}
    for port_id, word in of_everybody(cloud):
        owners.setdefault(word, set()).add(port_id)
    assert {word: ports for word, ports in owners.items() if len(ports) > 1} == {}
    here = show(cloud.site)
    with cloud.central.database() as connection:
        query = sa.select(SITE_MAPPINGS.c.resource_id).where(
            SITE_MAPPINGS.c.site == SiteName("site1"), SITE_MAPPINGS.c.type == "port"
        )
        homes = set(connection.scalars(query))
    interfaces = {
        one["id"]
        for one in cloud.central.call("GET", "/v2.0/ports").only()
        if one["device_owner"] == "network:router_interface"
    }
    there = show(cloud.central)
    assert here == {one: there[one] for one in homes | interfaces}
