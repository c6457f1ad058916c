"""Central's database came back from a backup: what its sites and its people know since is kept."""

import contextlib
from collections.abc import Iterator
from typing import Any

import pytest
import sqlalchemy as sa
from tests.neutron.central_server import CentralServer
from tests.neutron.test_central_report import Stretched
from tests.neutron.test_registration import register

from isthmus.store.sql.tables import REGISTRATIONS
from isthmus.store.tiers import epoch, registration

pytestmark = pytest.mark.neutron


@contextlib.contextmanager
def back_from_backup(central: CentralServer) -> Iterator[None]:
    """Have central be as it is now, and wait for its sites: its database is a backup."""
    with central.database(write=True) as connection:
        epoch.begin(connection, "restored, the test says")
    try:
        yield
    finally:
        with central.database(write=True) as connection:
            for one in epoch.list_waiting(connection):
                registration.go_on_without(connection, one, welcome=lambda *_: None)
            connection.execute(sa.update(REGISTRATIONS).values(owes=False))


def change(central: CentralServer, net: Stretched, port: dict[str, Any], **values: Any) -> None:
    path = f"/v2.0/ports/{port['id']}"
    central.call("PUT", path, {"port": values}, net.user).only()


def agreed(port: dict[str, Any], **since: Any) -> dict[str, Any]:
    """Give a port as its site has it: changed since the backup, and agreed on."""
    now = {**port, **since}
    return {**now, "isthmus:base": {name: now[name] for name in ("name", "description")}}


@pytest.mark.parametrize("when", ["before", "between", "after"])
def test_what_a_person_changes_after_the_restore_is_no_older_than_the_site(
    central: CentralServer, when: str
) -> None:
    """Before its site registers, before the last one does, and before the site's report."""
    net = Stretched(central)
    port = net.port(name="old", description="old", admin_state_up=True)
    assert net.report(port)["code"] == ""

    def turn(now: str) -> None:
        if now == when:
            change(central, net, port, description="central's", admin_state_up=False)
            change(central, net, port, description="central's, again")

    with back_from_backup(central):
        turn("before")
        register(central, "site1", ports=[port["id"]])
        turn("between")
        register(central, "site2", ports=[])
    turn("after")
    (wanted,) = central.wanted("site1", ("port", port["id"]))
    assert wanted["state"]["isthmus:stale"] is True  # the site says first how the port is
    said = agreed(port, name="the site's", description="the site's, too")
    central.clear_journal()
    assert net.report(said)["code"] == ""
    shown = net.shown(port)
    assert shown["name"] == "the site's"  # changed there alone, since the backup
    assert shown["admin_state_up"] is False  # changed at central alone, since the restore
    assert shown["description"] == "central's, again"  # on both sides: central wins, as ever
    # The site is told, and takes it: central is no older any more.
    assert ("port", port["id"]) in central.jobs("site1")
    (wanted,) = central.wanted("site1", ("port", port["id"]))
    assert "isthmus:stale" not in wanted["state"]
    # And from here on what the site says is held against what the two agree on.
    later = agreed(port, name="the site's", description="central's, again", admin_state_up=False)
    assert net.report({**later, "name": "new"})["code"] == ""
    assert net.shown(port)["name"] == "new"


def test_a_port_that_its_home_has_no_more_is_central_s_to_say(central: CentralServer) -> None:
    net = Stretched(central)
    port = net.port()
    assert net.report(port)["code"] == ""
    with back_from_backup(central):
        register(central, "site1", ports=[])
        register(central, "site2", ports=[])
    (wanted,) = central.wanted("site1", ("port", port["id"]))
    assert "isthmus:stale" not in wanted["state"]
