"""What a restored central has from its backup and was changed since: it is not carried out."""

import uuid

import pytest
import sqlalchemy as sa
from tests.neutron.central_server import CentralServer
from tests.neutron.test_after_restore import back_from_backup, speak
from tests.neutron.test_central_report import Stretched
from tests.neutron.test_registration import register
from tests.neutron.test_routers import join

from isthmus import errors
from isthmus.model.site import SiteName
from isthmus.store.sql.tables import REGISTRATIONS, SITE_MAPPINGS

pytestmark = pytest.mark.neutron

ONE = SiteName("site1")


def mark_withdrawn(central: CentralServer, net: Stretched) -> None:
    """Have the backup say that a network is being withdrawn from site1."""
    of_it = sa.and_(
        SITE_MAPPINGS.c.resource_id.in_([net.network["id"], net.subnet["id"]]),
        SITE_MAPPINGS.c.site == ONE,
    )
    with central.database(write=True) as connection:
        connection.execute(sa.update(SITE_MAPPINGS).where(of_it).values(withdrawn=True))


def is_withdrawn(central: CentralServer, net: Stretched) -> bool:
    query = sa.select(SITE_MAPPINGS.c.withdrawn).where(
        SITE_MAPPINGS.c.resource_id == net.network["id"], SITE_MAPPINGS.c.site == ONE
    )
    with central.database() as connection:
        return bool(connection.scalar(query))


@pytest.mark.parametrize("knows", ["port", "address"])
def test_a_withdrawal_that_was_undone_stays_undone(central: CentralServer, knows: str) -> None:
    """No network is withdrawn from where ports are, whether or not central still knows them."""
    net, other = Stretched(central), Stretched(central)
    port = net.port()
    net.must_take(port)
    for one in (net, other):
        mark_withdrawn(central, one)
    with back_from_backup(central):
        if knows == "port":
            register(central, "site1", ports=[port["id"]], addresses={}, shadows=[])
        else:
            speak(central, net, "site1", {**port, "id": str(uuid.uuid4())})
        assert not is_withdrawn(central, net)
        assert is_withdrawn(central, other), "it has no ports there"
        register(central, "site2", ports=[])


def test_an_old_exit_goes_to_no_site_that_knows_better(central: CentralServer) -> None:
    """A site that was not restored has each router as central sent it last, since the backup."""
    net = Stretched(central)
    router = central.create("router", net.user)
    assert join(central, router, net.user, subnet_id=net.subnet["id"]).status == 200
    key = ("router", router["id"])
    for ports, expected in (([], False), (None, True)):
        central.clear_journal()
        with back_from_backup(central):
            register(central, "site1", ports=ports, addresses={}, shadows=[])
            assert (key in central.jobs("site1")) is expected
            register(central, "site2", ports=[])
        assert key in central.jobs("site1"), "once all have registered its exits are known"


def test_a_port_is_not_asked_from_a_site_that_central_went_on_without(
    central: CentralServer,
) -> None:
    """Nothing is delivered there: whoever asks would wait for ever."""
    net = Stretched(central)
    port = net.port()
    net.must_take(port)
    nowhere = {"binding:host_id": "", "binding:vif_type": "unbound", "status": "DOWN"}
    net.must_take({**port, **nowhere, "isthmus:location": None, "isthmus:base": port})
    of_site = REGISTRATIONS.c.site == ONE
    with central.database(write=True) as connection:
        connection.execute(sa.update(REGISTRATIONS).where(of_site).values(owes=True))
    try:
        asked = central.try_bundle("site2", "port", port["id"], project=net.project)
        (refused,) = asked.only()["refused"]
        assert refused["code"] == errors.Conflict.code
        assert "yet to register" in refused["message"]
    finally:
        with central.database(write=True) as connection:
            connection.execute(sa.update(REGISTRATIONS).where(of_site).values(owes=False))
    query = sa.select(SITE_MAPPINGS.c.withdrawn).where(SITE_MAPPINGS.c.resource_id == port["id"])
    with central.database() as connection:
        assert connection.scalars(query).all() == [False]
