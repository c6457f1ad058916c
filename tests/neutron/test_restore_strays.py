"""A site was cut off, made ports, and was restored before the link was back: OVN alone has them."""

import pytest
from tests.neutron.mariadb import mariadb_url, new_database
from tests.neutron.test_restore import Cloud, cloud

from isthmus.testing.until import until

pytestmark = [pytest.mark.neutron, pytest.mark.stress, pytest.mark.timeout(900)]

__all__ = ["cloud", "mariadb_url", "new_database"]


def read_keys(cloud: Cloud, *addresses: str) -> set[int]:
    """Read the port keys of the ports at the site that have these addresses."""
    shown = cloud.site.get(f"ports?network_id={cloud.network['id']}").only()
    ports = {
        one["id"] for one in shown if {ip["ip_address"] for ip in one["fixed_ips"]} & {*addresses}
    }
    rows = cloud.site.rows("isthmus_port_keys")
    return {int(row["port_key"]) for row in rows if row["port_id"] in ports}


def test_what_ovn_alone_knows_is_not_given_again(cloud: Cloud) -> None:
    cloud.boot()
    cloud.settle()
    copy = cloud.back_up(cloud.site, "before")
    assert cloud.site.wan is not None
    cloud.site.wan.cut()
    lost = [cloud.boot() for _ in range(4)]
    keys = read_keys(cloud, *lost)
    assert len(keys) == len(lost)
    ids = [
        one["id"]
        for one in cloud.site.get(f"ports?network_id={cloud.network['id']}").only()
        if one["fixed_ips"][0]["ip_address"] in lost
    ]
    cloud.restore(cloud.site, copy)
    cloud.site.wan.heal()
    cloud.settle()
    named = {"fixed_ips": [{"ip_address": lost[0]}]}
    assert not cloud.try_boot(**named)
    free = sum(len(block) for block in cloud.known()) - len(lost)
    again = [cloud.boot() for _ in range(min(free, 12))]
    assert not set(lost) & set(again)
    assert not keys & read_keys(cloud, *again)
    for one in ids:
        cloud.site.ovn.nbctl("--if-exists", "lsp-del", one)
    until(lambda: cloud.try_boot(**named), timeout_s=120, what="its row is gone, and it has rested")
