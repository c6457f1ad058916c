"""A restored site's OVN is right all the time: it is not made as old as the site's tables."""

from collections.abc import Mapping
from typing import Any

import pytest
from tests.neutron.carry import carry
from tests.neutron.central_server import by_type
from tests.neutron.test_central_report import born, item
from tests.neutron.test_restore import Cloud, cloud

from isthmus.testing.until import until

pytestmark = [pytest.mark.neutron, pytest.mark.timeout(900)]

__all__ = ["cloud"]


class Others:
    """Ports of servers at site2."""

    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud
        items = cloud.central.bundle("site2", "network", cloud.network["id"], project="p")["items"]
        first = {one["kind"]: int(one["first"]) for one in by_type(items, "lease")}
        self._address = first["subnet"] - 10 * 2**24
        self._key = first["port_key"]
        self._groups = [one["id"] for one in by_type(items, "security_group")]

    def boot(self) -> dict[str, Any]:
        """Make a port as for a server, and report it."""
        place = {"network_id": self._cloud.network["id"], "project_id": "p"}
        address = f"10.0.0.{self._address}"
        port = born(place, self._cloud.subnet["id"], address, self._groups, self._key)
        self._address += 1
        self._key += 1
        return self.report(port)

    def move(self, port: Mapping[str, Any]) -> dict[str, Any]:
        """Have its server be on another hypervisor, and report that."""
        there = {"chassis": "chassis-2", "hostname": "host2", "encap_ip": "192.0.2.12"}
        place = {**port["isthmus:location"], **there}
        return self.report({**port, "binding:host_id": "host2", "isthmus:location": place})

    def delete(self, port: Mapping[str, Any]) -> None:
        self.report(port, gone=True)

    def report(self, port: Mapping[str, Any], *, gone: bool = False) -> dict[str, Any]:
        (result,) = self._cloud.central.report("site2", item(dict(port), gone=gone))
        assert result["code"] == "", result
        return dict(port)


def read_row(cloud: Cloud, port: Mapping[str, Any]) -> str:
    """Read where the site's OVN has a port of another site; "" where it has none."""
    options = cloud.site.ovn.nbctl(
        "--bare", "--columns=options", "find", "Logical_Switch_Port", f"name={port['id']}"
    )
    words = dict(word.split("=") for word in options.split())
    return words.get("requested-chassis", "")


def test_what_ovn_has_since_the_backup_stays_until_the_site_has_heard_again(cloud: Cloud) -> None:
    """Central cannot be reached meanwhile; servers reach each other by those rows alone."""
    cloud.boot()
    others = Others(cloud)
    lost, moved = others.boot(), others.boot()
    cloud.settle()
    until(lambda: read_row(cloud, moved) == "chassis-1", what="their rows are there")
    copy = cloud.back_up(cloud.site, "before")
    others.move(moved)
    new = others.boot()
    cloud.boot()
    cloud.settle()
    until(lambda: read_row(cloud, new), what="the new row is there")
    until(lambda: read_row(cloud, moved) == "chassis-2", what="the row is of its new place")

    cloud.site.stop()
    cloud.site.ovn.nbctl("lsp-del", lost["id"])
    assert cloud.site.wan is not None
    cloud.site.wan.cut()
    cloud.put_back(cloud.site, copy)
    cloud.site.start()
    until(lambda: read_row(cloud, lost), timeout_s=120, what="the site has looked at its OVN")
    assert cloud.why(cloud.site), "it knew by its witness before it looked"
    assert read_row(cloud, new) == "chassis-1"
    assert read_row(cloud, moved) == "chassis-2"
    drift = cloud.site.holdings("ovn")["ovn"]["drift"]
    found = {(one["code"], one["id"], one["waits"]) for one in drift}
    assert ("ovn.shadow_port.extra", new["id"], True) in found
    assert ("ovn.shadow_port.differs", moved["id"], True) in found

    cloud.site.wan.heal()
    seen = []

    def is_quiet() -> bool:
        seen.append((read_row(cloud, new), read_row(cloud, moved)))
        return not (cloud.why(cloud.site) or cloud.site.holdings("ovn")["ovn"]["drift"])

    cloud.settle()
    until(is_quiet, timeout_s=120, what="OVN is as the site's tables", most_s=0.02)
    assert set(seen) == {("chassis-1", "chassis-2")}


def test_a_row_stays_until_its_shadow_is_sent(cloud: Cloud) -> None:
    """Ports are sent first: a site that has many shadows to hear of settles long before."""
    cloud.boot()
    others = Others(cloud)
    lost = others.boot()
    cloud.settle()
    until(lambda: read_row(cloud, lost), what="its row is there")
    copy = cloud.back_up(cloud.site, "before")
    new = others.boot()
    cloud.settle()
    until(lambda: read_row(cloud, new), what="the new row is there")
    cloud.restore(cloud.site, copy)

    def settles() -> bool:
        carry(cloud.central, cloud.site, but=["shadow"])
        return not cloud.why(cloud.site)

    until(settles, timeout_s=120, what="the site gives out addresses")
    cloud.boot()
    cloud.site.stop()
    cloud.site.ovn.nbctl("lsp-del", lost["id"])
    cloud.site.start()
    until(lambda: read_row(cloud, lost), timeout_s=120, what="the site has looked at its OVN")
    assert read_row(cloud, new), "its servers were cut off"
    drift = cloud.site.holdings("ovn")["ovn"]["drift"]
    assert ("ovn.shadow_port.extra", new["id"], True) in {
        (one["code"], one["id"], one["waits"]) for one in drift
    }
    others.delete(new)
    cloud.settle()
    until(lambda: not read_row(cloud, new), timeout_s=120, what="what is gone goes")
    until(lambda: not cloud.site.holdings("ovn")["ovn"]["drift"], timeout_s=120)
