"""A site goes back to a backup; ports that it has since stay with central, and come back."""

import pytest
from tests.neutron.server import Server
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
