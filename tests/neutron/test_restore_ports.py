"""A site goes back to a backup; ports that it has since stay with central, and come back."""

from typing import Any

import pytest
from tests.neutron.server import ADMIN, Server, site_user
from tests.neutron.test_restore import Cloud, cloud

from isthmus.store.tiers import epoch
from isthmus.testing.until import until

pytestmark = [pytest.mark.neutron, pytest.mark.timeout(900)]

__all__ = ["cloud"]


def list_servers(tier: Server) -> set[str]:
    shown = tier.call("GET", "/v2.0/ports?device_owner=compute:nova").only()
    return {one["id"] for one in shown}


def test_a_restored_site_does_not_report_what_it_has_forgotten(cloud: Cloud) -> None:
    """It registers and reports before central sends anything: what it lacks was not deleted."""
    cloud.boot()
    cloud.settle()
    copy = cloud.back_up(cloud.site, "before")
    for _ in range(3):
        cloud.boot()
    cloud.settle()
    before = list_servers(cloud.central)
    assert len(before) == 4
    cloud.restore(cloud.site, copy)

    def has_reported() -> bool:
        with cloud.site.database() as connection:
            own = epoch.peek(connection)
        registered = own is not None and own.registered == own.epoch > 1
        return registered and not cloud.site.rows("isthmus_journal")

    until(has_reported, timeout_s=120, what="the site has registered and reported")
    assert list_servers(cloud.central) == before
    cloud.settle()
    assert list_servers(cloud.central) == list_servers(cloud.site) == before


def test_a_port_that_came_home_after_the_backup_is_where_its_site_says(cloud: Cloud) -> None:
    """A restored central has it at no site: its reports were refused for ever."""
    central = cloud.central
    port = central.create("port", cloud.user, network_id=cloud.network["id"])["id"]
    cloud.settle()
    copy = cloud.back_up(central, "homeless")
    server = {"binding:host_id": "host1", "device_owner": "compute:nova", "device_id": "server"}
    assert cloud.site.update("port", port, ADMIN, **server).status == 200
    cloud.settle()
    cloud.restore(central, copy)
    until(lambda: cloud.epoch(central) > 1, timeout_s=60, what="central knows")
    body: dict[str, Any] = {
        "registration": None,
        "epoch": 1,
        "leases": [],
        "ports": [],
        "addresses": {},
    }
    said = {"site_registration": {**body, "shadows": []}}
    assert central.call("POST", "/v2.0/site-registrations", said, site_user("site2")).status == 201
    until(lambda: not cloud.why(central), timeout_s=120, what="central has recovered")
    cloud.settle()
    shown = central.call("GET", f"/v2.0/ports/{port}").only()
    assert (shown["device_id"], shown["device_owner"]) == ("server", "compute:nova")
    (there,) = central.call("GET", f"/v2.0/site-mappings?type=port&resource_id={port}").only()
    assert there["site"] == "site1"
    parked = [one for one in cloud.site.rows("isthmus_journal") if one["parked"]]
    assert parked == []
