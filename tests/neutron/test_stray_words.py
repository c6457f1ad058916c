"""Strays that sites name to a restored central: whose word counts, and for what."""

import uuid
from typing import Any

import pytest
from tests.neutron.central_server import CentralServer
from tests.neutron.test_registration import (
    known_as,
    make_network,
    named,
    register,
    restored,
    try_register,
)

pytestmark = pytest.mark.neutron


class Pool:
    """A network that may be at each site, and what sites have of it."""

    def __init__(self, central: CentralServer, third: int) -> None:
        self.central = central
        self.network, self.subnet, self.base = make_network(central, third)
        # At site1, with an address that no other site may take from it.
        fixed = [{"ip_address": f"10.77.{third}.100"}]
        self.port = str(central.create("port", network_id=self.network, fixed_ips=fixed)["id"])

        central.bundle("site1", "port", self.port, project=None, admin=True)

    def stray(self, key: int, *numbers: int) -> list[Any]:
        words = [str(self.base + one) for one in numbers]
        return ["site2", str(uuid.uuid4()), self.network, key, words]

    def leases(self, site: str) -> set[tuple[int, int]]:
        """Give what a site has of addresses, as numbers in the subnet."""
        leases = self.central.call("GET", "/v2.0/site-leases").only()
        return {
            (int(one["first"]) - self.base, int(one["last"]) - self.base)
            for one in leases
            if one["pool_id"] == self.subnet and one["site"] == site
        }

    def present(self) -> set[str]:
        path = f"/v2.0/site-mappings?resource_id={self.network}"
        return {row["site"] for row in self.central.call("GET", path).only()}

    def hear(self, **said: Any) -> None:
        """Have site2 register with something that it says of strays, and central settle."""
        with restored(self.central):
            register(self.central, "site1", ports=[self.port])
            register(self.central, "site2", **said)


def test_a_restored_site_gets_what_nobody_has(central: CentralServer) -> None:
    pool = Pool(central, 141)
    pool.hear(shadows=[pool.stray(9, 200, 100)])
    assert pool.present() == {"site1", "site2"}
    assert (200, 200) in pool.leases("site2")
    assert not any(first <= 100 <= last for first, last in pool.leases("site2"))
    shown = central.call("GET", f"/v2.0/ports/{pool.port}").only()
    assert [one["ip_address"] for one in shown["fixed_ips"]] == ["10.77.141.100"]


@pytest.mark.parametrize("present", [False, True])
def test_a_site_that_was_not_restored_has_no_strays(central: CentralServer, present: bool) -> None:
    """It names the ports that it has; of others of its own it says nothing that counts."""
    pool = Pool(central, 142 + present)
    if present:
        central.bundle("site2", "network", pool.network, project=None, admin=True)
    before = pool.present(), pool.leases("site2")
    leases = [
        {key: one[key] for key in ("id", "kind", "pool_id", "first", "last")}
        for one in central.call("GET", "/v2.0/site-leases?site=site2").only()
    ]
    said = {"ports": [], "addresses": {}, "leases": leases}
    pool.hear(shadows=[pool.stray(9, 200, 100)], **said)
    assert (pool.present(), pool.leases("site2")) == before


def test_no_site_has_strays_while_nobody_waits_for_it(central: CentralServer) -> None:
    pool = Pool(central, 144)
    register(central, "site2", shadows=[pool.stray(9, 200)])
    assert (pool.present(), pool.leases("site2")) == ({"site1"}, set())


@pytest.mark.parametrize("key", [-1, 1 << 130, "x"])
def test_what_is_no_key_is_no_registration(central: CentralServer, key: Any) -> None:
    pool = Pool(central, 150 + len(str(key)) % 50)
    stray = pool.stray(0, 200)
    stray[3] = key
    with restored(central):
        register(central, "site1", ports=[])
        said = {"leases": [], "shadows": [stray]}
        answer = try_register(central, "site2", **known_as(central, "site2"), **said)
        assert answer.status == 400, answer.text


def test_any_number_of_networks_that_are_not_there_is_nothing(central: CentralServer) -> None:
    pool = Pool(central, 145)
    strays = [["site2", str(uuid.uuid4()), str(uuid.uuid4()), 9, []] for _ in range(2000)]
    pool.hear(shadows=[*strays, pool.stray(9, 200)], leases=[named(pool.network, 9, 9, "port_key")])
    assert (200, 200) in pool.leases("site2")
