"""Trunks after a site's database went back to a backup: what was made and removed since."""

import pytest
from tests.neutron.server import ADMIN
from tests.neutron.test_restore import Cloud, cloud
from tests.neutron.test_trunks import OWNER, change, in_ovn, owner, shown, sub

pytestmark = [pytest.mark.neutron, pytest.mark.stress, pytest.mark.timeout(900)]

__all__ = ["cloud"]


class Scene:
    """Two parents at site1 with a subport each: one older than the backup, and one that is younger.

    Since the backup the old trunk has exchanged its subport for another one.
    """

    def __init__(self, cloud: Cloud) -> None:
        self.cloud = cloud
        self.old, self.young, *self.inner = (self._port() for _ in range(5))
        for port in (self.old, self.young):
            bound = {"binding:host_id": "host1", "device_owner": "compute:nova", "device_id": "d"}
            assert cloud.site.update("port", port, ADMIN, **bound).status == 200
        self.trunks = [self._trunk(self.old, self.inner[0])]
        cloud.settle()
        self.copy = cloud.back_up(cloud.site, "trunks")
        old = self.trunks[0]
        for how, one in (
            ("remove_subports", {"port_id": self.inner[0]}),
            ("add_subports", sub(self.inner[1], 1)),
        ):
            assert change(cloud.central, old, how, cloud.user, one).status == 200
        self.trunks.append(self._trunk(self.young, self.inner[2]))
        cloud.settle()
        self.check()

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

    def check(self) -> None:
        """See which subports the trunks have, in both tiers and in OVN."""
        central, site, user = self.cloud.central, self.cloud.site, self.cloud.user
        wanted = ((self.old, self.inner[1]), (self.young, self.inner[2]))
        for (parent, child), trunk in zip(wanted, self.trunks, strict=True):
            assert shown(site, trunk, user) == shown(central, trunk, user)
            assert shown(site, trunk, user)["sub_ports"] == [(child, 1)]
            assert in_ovn(site, child) == (parent, "1")
            assert owner(site, child) == owner(central, child) == OWNER
        assert in_ovn(site, self.inner[0]) == ("", "")
        assert owner(central, self.inner[0]) == ""


def test_a_restored_site_is_given_its_trunks_again(cloud: Cloud) -> None:
    scene = Scene(cloud)
    cloud.restore(cloud.site, scene.copy)
    cloud.settle()
    scene.check()
