"""Trunks after a tier's database went back to a backup: what was made and removed since."""

from typing import Any

import pytest
from tests.neutron.server import ADMIN, site_user
from tests.neutron.test_restore import Cloud, cloud
from tests.neutron.test_trunks import OWNER, change, in_ovn, mapped, owner, shown, sub

from isthmus.testing.until import until

pytestmark = [pytest.mark.neutron, pytest.mark.stress, pytest.mark.timeout(900)]

__all__ = ["cloud"]


class Scene:
    """Two parents at site1 with a subport each: one older than the backup, and one that is younger.

    Since the backup the old trunk has exchanged its subport for another one.
    """

    def __init__(self, cloud: Cloud, tier: str) -> None:
        self.cloud = cloud
        self.old, self.young, *self.inner = (self._port() for _ in range(5))
        for port in (self.old, self.young):
            bound = {"binding:host_id": "host1", "device_owner": "compute:nova", "device_id": "d"}
            assert cloud.site.update("port", port, ADMIN, **bound).status == 200
        self.trunks = [self._trunk(self.old, self.inner[0])]
        cloud.settle()
        self.copy = cloud.back_up(getattr(cloud, tier), "trunks")
        old = self.trunks[0]
        for how, one in (
            ("remove_subports", {"port_id": self.inner[0]}),
            ("add_subports", sub(self.inner[1], 1)),
        ):
            assert change(cloud.central, old, how, cloud.user, one).status == 200
        self.trunks.append(self._trunk(self.young, self.inner[2]))
        cloud.settle()
        self.check(self.inner[1], self.inner[2])

    def _port(self) -> str:
        made = self.cloud.central.create(
            "port", self.cloud.user, network_id=self.cloud.network["id"]
        )
        return str(made["id"])

    def _trunk(self, parent: str, child: str) -> str:
        made = self.cloud.central.create(
            "trunk", self.cloud.user, port_id=parent, sub_ports=[sub(child, 1)]
        )
        return str(made["id"])

    def check(self, of_old: str, of_young: str | None) -> None:
        """See which subports the trunks have, in both tiers and in OVN; `None`: no young trunk."""
        central, site, user = self.cloud.central, self.cloud.site, self.cloud.user
        wanted = {self.old: of_old, self.young: of_young}
        for (parent, child), trunk in zip(wanted.items(), self.trunks, strict=True):
            if child is None:
                for tier in (central, site):
                    assert tier.call("GET", f"/v2.0/trunks/{trunk}").status == 404
                    assert mapped(tier, trunk) == []
                continue
            assert shown(site, trunk, user) == shown(central, trunk, user)
            assert shown(site, trunk, user)["sub_ports"] == [(child, 1)]
            assert in_ovn(site, child) == (parent, "1")
        for child in self.inner:
            if child in wanted.values():
                assert owner(site, child) == owner(central, child) == OWNER
            else:
                assert in_ovn(site, child) == ("", "")
                assert owner(central, child) == ""


def test_a_restored_site_is_given_its_trunks_again(cloud: Cloud) -> None:
    scene = Scene(cloud, "site")
    cloud.restore(cloud.site, scene.copy)
    cloud.settle()
    scene.check(scene.inner[1], scene.inner[2])


def test_what_a_restored_central_has_forgotten_goes(cloud: Cloud) -> None:
    scene = Scene(cloud, "central")
    cloud.restore(cloud.central, scene.copy)
    until(lambda: cloud.epoch(cloud.central) > 1, timeout_s=60, what="central knows")
    body: dict[str, Any] = {
        "registration": None,
        "epoch": 1,
        "leases": [],
        "ports": [],
        "addresses": {},
    }
    said = {"site_registration": {**body, "shadows": []}}
    path = "/v2.0/site-registrations"
    assert cloud.central.call("POST", path, said, site_user("site2")).status == 201
    until(lambda: not cloud.why(cloud.central), timeout_s=120, what="central has recovered")
    cloud.settle()
    scene.check(scene.inner[0], None)
