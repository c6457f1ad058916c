"""A person has a site compared with what it should hold: real central, real site, Xjob between."""

import json
import subprocess
import uuid
from collections.abc import Callable
from typing import Any

import pytest
import sqlalchemy as sa
from tests.neutron.front import isthmus
from tests.neutron.test_renewal import Things, pair, things
from tests.neutron.test_xjob_real import Cloud, cloud, xjob

from isthmus.testing.until import until

pytestmark = [pytest.mark.neutron, pytest.mark.ovn, pytest.mark.timeout(600)]

__all__ = ["cloud", "pair", "things", "xjob"]

Start = Callable[..., subprocess.Popen[bytes]]

#: Nothing comes back by a sweep of OVN's rows.
SITE1_OPTIONS = {"ovn_sweep_s": 3600}


def resync(cloud: Cloud, *arguments: str, code: int = 0, says: str = "") -> Any:
    ran = isthmus(
        cloud.person, "site", "resync", "site1", *arguments, "-o", "json", code=code, says=says
    )
    return json.loads(ran.stdout) if ran.stdout else None


def lose(cloud: Cloud, things: Things) -> None:
    """Delete a shadow's row by hand from the tables of the site."""
    with cloud.site.database(write=True) as connection:
        gone = connection.execute(
            sa.text("DELETE FROM isthmus_shadows WHERE port_id = :shadow"), vars(things)
        )
    assert gone.rowcount == 1


def has_shadow(cloud: Cloud, things: Things) -> bool:
    return things.shadow in {row["port_id"] for row in cloud.site.rows("isthmus_shadows")}


def test_a_row_deleted_by_hand_comes_back_when_xjob_runs_again(
    things: Things, cloud: Cloud, xjob: Start
) -> None:
    lose(cloud, things)
    asked = resync(cloud, says="It is recorded")
    assert (asked["state"], asked["site"], asked["network_id"]) == ("waiting", "site1", None)
    resync(
        cloud,
        "--wait",
        "2",
        code=3,
        says="no Xjob of central has begun.*See that isthmus-xjob runs",
    )
    assert not has_shadow(cloud, things)
    xjob()
    done = resync(cloud, "--wait", "120")
    assert (done["state"], done["jobs"], done["parked"]) == ("done", 0, 0)
    assert done["pages"] > 5, "each type has one"
    assert has_shadow(cloud, things)
    # What was asked for while no worker ran is done as well; this one, if that had not begun.
    first = cloud.central.call("GET", f"/v2.0/site-renewals/{asked['id']}").only()
    assert (first["state"], first["noted"], first["jobs"]) == ("done", 1, 0)
    again = isthmus(cloud.person, "site", "resync", "site1", "--wait", "120", "-o", "yaml").stdout
    assert "noted: 0" in again


def test_the_rows_of_its_ovn_are_looked_at_as_well(
    things: Things, cloud: Cloud, xjob: Start
) -> None:
    """No sweep of the site is due within an hour."""

    def has_key() -> bool:
        return "requested-tnl-key" in cloud.site.ovn.nbctl(
            "get", "Logical_Switch_Port", things.port, "options"
        )

    assert has_key()
    cloud.site.ovn.nbctl("clear", "Logical_Switch_Port", things.port, "options")
    assert not has_key(), "nothing but a look at everything finds that"
    xjob()
    assert resync(cloud, "--wait", "120")["noted"] == 0, "its tables are right"
    until(has_key, what="OVN is asked for the key again", timeout_s=60)


def test_only_one_network_is_compared(things: Things, cloud: Cloud, xjob: Start) -> None:
    xjob()
    with cloud.site.database(write=True) as connection:
        connection.execute(
            sa.text("UPDATE securitygroups SET name = 'x' WHERE id = :group"), vars(things)
        )
        connection.execute(
            sa.text("UPDATE subnets SET enable_dhcp = 0 WHERE id = :subnet"), vars(things)
        )
    lose(cloud, things)
    other = cloud.make_network()
    cloud.settled(other)
    done = resync(cloud, "--network", other, "--wait", "120")
    assert (done["network_id"], done["pages"], done["noted"]) == (other, 4, 0)
    assert not has_shadow(cloud, things)
    done = resync(cloud, "--network", "n", "--wait", "120")
    assert (done["network_id"], done["noted"]) == (things.network, 2)
    assert has_shadow(cloud, things)
    done = resync(cloud, "--wait", "120")
    assert done["noted"] == 1, "the group is of no network"


def test_who_may_ask_and_for_what(cloud: Cloud) -> None:
    isthmus(cloud.person, "site", "resync", "nosuch", code=2, says="nosuch")
    resync(cloud, "--network", "nosuch", code=2, says="no network 'nosuch'")
    gone = str(uuid.uuid4())
    assert resync(cloud, "--network", gone)["network_id"] == gone, "the site may still have it"
    watcher = ["--os-cloud", "watcher"]
    isthmus(cloud.person, "site", "resync", "site1", *watcher, code=2)
    isthmus(cloud.person, "site", "disable", "site1")
    try:
        resync(cloud, code=2, says="site site1 is disabled.*enable it first")
    finally:
        isthmus(cloud.person, "site", "enable", "site1")
