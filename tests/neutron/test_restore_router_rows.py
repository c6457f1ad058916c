"""What a restored site's OVN has of routers stays until central has sent it the routers."""

import json

import pytest
import sqlalchemy as sa
from tests.neutron.carry import carry
from tests.neutron.outside import extend, make_outside, set_gateway
from tests.neutron.server import ADMIN
from tests.neutron.test_exits_at_site import list_rows
from tests.neutron.test_restore import Cloud, cloud
from tests.neutron.test_restore_rows import Others, read_row
from tests.neutron.test_routers import join

from isthmus.store.sql.tables import EPOCHS
from isthmus.store.tiers.epoch import Behind
from isthmus.testing.until import until

pytestmark = [pytest.mark.neutron, pytest.mark.timeout(900)]

__all__ = ["cloud"]


def read_behind(cloud: Cloud) -> Behind:
    with cloud.site.database() as connection:
        return Behind(connection.scalar(sa.select(EPOCHS.c.behind)) or 0)


def test_a_transit_network_stays_until_its_router_is_sent(cloud: Cloud) -> None:
    """The site puts the router off; all shadows are there long before it is sent again."""
    central = cloud.central
    cloud.boot()
    assert extend(central, cloud.network, "site2").status in (201, 409)
    others = Others(cloud)
    lost = others.boot()
    outside, _ = make_outside(central, 2)
    router = central.create("router", cloud.user, name="r")
    assert join(central, router, cloud.user, subnet_id=cloud.subnet["id"]).status == 200
    cloud.settle()
    until(lambda: read_row(cloud, lost), what="the row of another site's port is there")
    copy = cloud.back_up(cloud.site, "before")
    assert set_gateway(central, router, ADMIN, outside).status == 200
    cloud.settle()

    def has_transit() -> bool:
        return list_rows(cloud.site, "Logical_Switch", "transit", router["id"]) == 1

    until(has_transit, what="the transit network is in OVN")
    cloud.restore(cloud.site, copy)

    def is_sent() -> bool:
        carry(central, cloud.site, but=["router"])
        owed = [row for row in central.jobs("site1") if row[0] != "router"]
        return not (owed or cloud.why(cloud.site)) and read_behind(cloud) < Behind.NOT_KNOWN

    until(is_sent, timeout_s=240, what="the site has recovered, and has all but the router")
    cloud.site.stop()
    cloud.site.ovn.nbctl("lsp-del", lost["id"])
    cloud.site.start()
    until(lambda: read_row(cloud, lost), timeout_s=120, what="the site has looked at its OVN")

    def has_written() -> bool:
        return all(one["waits"] for one in cloud.site.holdings("ovn")["ovn"]["drift"])

    until(has_written, timeout_s=120, what="what may be written is")
    assert has_transit(), "what leaves by another site was cut off"
    assert read_behind(cloud) is Behind.NOT_SENT
    cloud.settle()
    until(lambda: read_behind(cloud) is Behind.NOT, timeout_s=120, what="it has heard of all")
    until(lambda: not cloud.site.holdings("ovn")["ovn"]["drift"], timeout_s=120)
    assert has_transit()
    plans = {row["router_id"]: json.loads(row["plan"]) for row in cloud.site.rows("isthmus_exits")}
    assert plans[router["id"]]["transit"] is not None
