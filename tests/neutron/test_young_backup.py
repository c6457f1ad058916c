"""A tier came back from a backup that is younger than any hello: what was said since is missed."""

import ipaddress
from collections.abc import Callable
from pathlib import Path

import pytest
import sqlalchemy as sa
from tests.neutron.carry import carry
from tests.neutron.central_server import CentralServer
from tests.neutron.pausing import Pause
from tests.neutron.server import ADMIN, CARRIER, site_user
from tests.neutron.test_after_restore import back_from_backup
from tests.neutron.test_restore import Cloud, cloud, lease_request
from tests.neutron.test_restore_rows import Others, read_row

from isthmus.store.sql.tables import WITNESSES
from isthmus.testing.until import until

pytestmark = [pytest.mark.neutron, pytest.mark.timeout(900)]

__all__ = ["cloud"]


def to_text(number: int) -> str:
    return str(ipaddress.ip_address(number))


def hear_no_more(cloud: Cloud) -> None:
    """Have the site say hello no more often than once an hour, and wait for the first one."""
    cloud.site.stop()
    cloud.site.isthmus = {**cloud.site.isthmus, "lease_sweep_s": 3600.0}
    (before,) = cloud.site.rows("isthmus_epochs")
    cloud.site.start()
    until(
        lambda: cloud.site.rows("isthmus_epochs")[0]["heard"] > before["heard"],
        timeout_s=120,
        what="the site has said hello",
    )


def restore_alone(cloud: Cloud, copy: str) -> None:
    """Put the site back while it reaches nobody who knows better."""
    assert cloud.site.wan is not None
    cloud.site.wan.cut()
    cloud.restore(cloud.site, copy)
    until(lambda: cloud.why(cloud.site), timeout_s=120, what="the site knows that it was restored")
    assert not cloud.try_boot()
    cloud.site.wan.heal()


def test_a_batch_since_the_backup_is_missed(cloud: Cloud) -> None:
    """Its servers reach the new one by OVN's row, which stays until central has sent it again."""
    cloud.boot()
    others = Others(cloud)
    cloud.settle()
    hear_no_more(cloud)
    copy = cloud.back_up(cloud.site, "before")
    new = others.boot()
    carry(cloud.central, cloud.site)
    until(lambda: read_row(cloud, new), what="the new row is there")
    restore_alone(cloud, copy)
    cloud.settle()
    assert read_row(cloud, new)
    cloud.boot()


def test_a_report_since_the_backup_is_missed(cloud: Cloud) -> None:
    running = [cloud.boot()]
    cloud.settle()
    hear_no_more(cloud)
    copy = cloud.back_up(cloud.site, "before")
    running.append(cloud.boot())
    cloud.settle()
    restore_alone(cloud, copy)
    cloud.settle()
    running.append(cloud.boot())
    cloud.check(*running)


def find_idle(cloud: Cloud) -> int | None:
    """Find a number of the site's blocks that no port of the site has."""
    ports = cloud.site.rows("ipallocations")
    taken = {int(ipaddress.ip_address(row["ip_address"])) for row in ports}
    return next((one for block in cloud.known() for one in block if one not in taken), None)


def test_an_address_that_went_back_since_the_backup_is_not_used(cloud: Cloud) -> None:
    """Somebody named it at central; the site gave it back, and believes that it has it still."""
    running = [cloud.boot()]
    cloud.settle()
    hear_no_more(cloud)
    copy = cloud.back_up(cloud.site, "before")
    idle = until(lambda: find_idle(cloud), what="the site has an address in reserve")
    named = {"network_id": cloud.network["id"], "fixed_ips": [{"ip_address": to_text(idle)}]}

    def is_made() -> bool:
        made = cloud.central.try_create("port", cloud.user, **named).status == 201
        carry(cloud.central, cloud.site)
        return made

    until(is_made, timeout_s=240, what="the site has given it back")
    assert not any(idle in block for block in cloud.known())
    restore_alone(cloud, copy)
    cloud.settle()
    assert not any(idle in block for block in cloud.known())
    running += [cloud.boot() for _ in range(3)]
    assert to_text(idle) not in running
    cloud.check(*running)


def test_whatever_central_has_answered_since_the_backup_is_missed(cloud: Cloud) -> None:
    """Each answer that is relied on advances the witness, and one turn shows a restore."""
    cloud.boot()
    cloud.settle()
    hear_no_more(cloud)
    assert cloud.site.wan is not None
    cloud.site.wan.cut()
    others = Others(cloud)
    network = cloud.central.create("network", cloud.user, name="m")["id"]

    def count() -> int:
        with cloud.central.database() as connection:
            return int(connection.scalar(sa.select(WITNESSES.c.turn)) or 0)

    copy = ""
    calls: list[Callable[[], object]] = [
        lambda: cloud.central.bundle("site2", "network", network, project="p"),
        others.boot,  # reports
        # Xjob, before it sends.
        lambda: cloud.central.desired("site2", ("network", cloud.network["id"])),
        lambda: lease_request(cloud, 8).only(),
    ]
    for number, say in enumerate(calls):
        copy, before = cloud.back_up(cloud.central, f"before_{number}"), count()
        say()
        assert count() > before, say
    cloud.restore(cloud.central, copy)
    assert cloud.epoch(cloud.central) > 1
    body = {"network_id": cloud.network["id"], "project_id": "p"}
    assert cloud.central.try_create("port", ADMIN, **body).status == 503


def test_nothing_goes_to_a_site_that_a_restored_central_waits_for(central: CentralServer) -> None:
    """Not even what Xjob had claimed before: it asks what is wanted now."""
    body = {"site_desired_state": {"site": "site2", "keys": []}}
    assert central.call("POST", "/v2.0/site-desired-states", body, CARRIER).status == 201
    with back_from_backup(central):
        answer = central.call("POST", "/v2.0/site-desired-states", body, CARRIER)
    assert answer.status == 503
    assert "site2" in answer.text


def test_an_answer_whose_database_went_back_before_the_look_is_not_given(
    new_central: Callable[[], CentralServer], tmp_path: Path
) -> None:
    """A replica takes over that lacks the call's transaction, and has every turn before it."""
    pause = Pause(tmp_path / "pause")
    central = new_central()
    central.start(**pause.environment)
    central.make_sites()
    body = {"site_report": {"sequence": 1, "items": []}}

    def say() -> int:
        return central.call("POST", "/v2.0/site-reports", body, site_user("site2")).status

    assert say() == 201
    with central.database() as connection:
        (before,) = connection.execute(sa.select(WITNESSES.c.turn)).scalars()
    with (
        pause.during("central.call.heard", say) as done,
        central.database(write=True) as connection,
    ):
        connection.execute(sa.update(WITNESSES).values(turn=before))
    assert done["result"] == 503
