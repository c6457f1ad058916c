"""Ports that only OVN has: their site was cut off and restored, or central was restored as well."""

import ipaddress
import uuid

import pytest
from tests.neutron.server import ADMIN
from tests.neutron.test_restore import Cloud, cloud, lease_request
from tests.neutron.test_restore_of_both import register_site2, show

from isthmus.testing.until import until

pytestmark = [pytest.mark.neutron, pytest.mark.stress, pytest.mark.timeout(900)]

__all__ = ["cloud"]


def read_keys(cloud: Cloud, *addresses: str) -> set[int]:
    """Read the port keys of the ports at the site that have these addresses."""
    shown = cloud.site.get(f"ports?network_id={cloud.network['id']}").only()
    ports = {
        one["id"] for one in shown if {ip["ip_address"] for ip in one["fixed_ips"]} & {*addresses}
    }
    rows = cloud.site.rows("isthmus_port_keys")
    return {int(row["port_key"]) for row in rows if row["port_id"] in ports}


def add_foreign_rows(cloud: Cloud) -> None:
    """Have somebody else keep rows in the site's OVN, on a network's switch and on his own."""
    ovn, switch = cloud.site.ovn, f"neutron-{cloud.network['id']}"
    name = "a-gateway-that-somebody-made-by-hand-" + "x" * 40
    where = [(switch, name), (switch, "probe"), ("neutron-made-by-hand", str(uuid.uuid4()))]
    ovn.nbctl("ls-add", "neutron-made-by-hand")
    for number, (at, port) in enumerate(where):
        ovn.nbctl("lsp-add", at, port)
        ovn.nbctl("lsp-set-addresses", port, f"0a:00:00:00:00:0{number} 10.0.0.25{number}")
        key = "9" * 30 if number else "\xb2"
        ovn.nbctl("set", "Logical_Switch_Port", port, f"options:requested-tnl-key={key}")


def test_what_ovn_alone_knows_is_not_given_again(cloud: Cloud) -> None:
    cloud.boot()
    add_foreign_rows(cloud)
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


def test_what_both_tiers_forgot_is_given_to_nobody_while_ovn_has_it(cloud: Cloud) -> None:
    """Leases, a port of central's with its own address, and their ports are in no backup."""
    cloud.boot()
    add_foreign_rows(cloud)
    cloud.settle()
    copies = {
        one.folder: cloud.back_up(one, f"{one.folder.name}_copy")
        for one in (cloud.site, cloud.central)
    }
    before = {number for block in cloud.known() for number in block}
    names = ("10.0.0.200", "10.0.0.201")  # the site is leased what is around them
    lost = [cloud.boot(), *(cloud.boot(fixed_ips=[{"ip_address": one}]) for one in names)]
    at_central = cloud.central.create("port", cloud.user, network_id=cloud.network["id"])
    lost.append(at_central["fixed_ips"][0]["ip_address"])
    server = {"device_owner": "compute:nova", "device_id": "d", "binding:host_id": "host1"}
    cloud.site.update("port", at_central["id"], ADMIN, **server).only()
    cloud.settle()
    assert not {int(ipaddress.ip_address(one)) for one in lost} <= before
    keys = read_keys(cloud, *lost)
    assert len(keys) == len(lost)
    for tier in (cloud.site, cloud.central):
        tier.stop()
        cloud.put_back(tier, copies[tier.folder])
    cloud.central.start()
    cloud.site.start()
    until(lambda: cloud.epoch(cloud.central) > 1, timeout_s=60, what="central knows")
    register_site2(cloud)
    cloud.settle()
    assert not set(
        {
            one
            for tier in (cloud.site, cloud.central)
            for _, addresses in show(tier).values()
            for one in addresses
        }
    ) & set(lost), "they are in no database"

    given = set()
    for _ in range(4):
        answer = lease_request(cloud, 32)
        if answer.status == 201:
            blocks = answer.only()["leases"]
            given |= {
                str(ipaddress.ip_address(number))
                for one in blocks
                for number in range(int(one["first"]), int(one["last"]) + 1)
            }
    assert given
    for _ in range(8):
        made = cloud.central.try_create("port", cloud.user, network_id=cloud.network["id"])
        if made.status == 201:
            given |= {one["ip_address"] for one in made.only()["fixed_ips"]}
    again = [cloud.boot() for _ in range(12)]
    assert not (given | set(again)) & set(lost)
    assert not keys & read_keys(cloud, *again)
    cloud.check(*lost)
