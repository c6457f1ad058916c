"""A site that could not find out, since it started, how old its database is gives nothing out."""

from pathlib import Path

import pytest
from tests.neutron.server import ADMIN
from tests.neutron.test_restore import Cloud, cloud

from isthmus.testing.until import until

pytestmark = [pytest.mark.neutron, pytest.mark.timeout(900)]

__all__ = ["cloud"]

_OF_ANOTHER = '{"witness": "w", "life": "", "epoch": 900000, "turns": {}}'


def _witness(cloud: Cloud) -> Path:
    (file,) = cloud.site.folder.rglob("isthmus-site1.witness")
    return file


def test_nothing_is_given_out_before_a_look_has_succeeded(cloud: Cloud) -> None:
    """The database went back while the site was stopped, and its first look fails."""
    running = [cloud.boot()]
    cloud.settle()
    copy = cloud.back_up(cloud.site, "before")
    running.append(cloud.boot())
    cloud.settle()
    own = cloud.site.create("network", ADMIN, name="own")["id"]
    assert cloud.site.wan is not None
    cloud.site.stop()
    file = _witness(cloud)
    kept = file.read_bytes()
    cloud.put_back(cloud.site, copy)
    file.write_text(_OF_ANOTHER)
    cloud.site.wan.cut()
    cloud.site.start()
    body = {"network_id": cloud.network["id"], "project_id": "p", "device_id": "d"}
    body |= {"device_owner": "compute:nova", "binding:host_id": "host1"}
    refused = cloud.site.try_create("port", ADMIN, **body)
    assert refused.status == 503
    assert "could not yet find out whether its database was restored" in refused.text
    named = cloud.site.try_create("port", ADMIN, **body, fixed_ips=[{"ip_address": running[1]}])
    assert named.status == 503
    (row,) = cloud.site.call("GET", "/v2.0/site-holdings?fields=epoch").only()
    assert not row["epoch"]["recovered"]
    assert "is not known yet" in row["epoch"]["reason"]
    # Nothing of the site's own waits for that.
    assert own not in {one["id"] for one in cloud.site.rows("networks")}, "it was lost"
    made = cloud.site.create("network", ADMIN, name="its own")["id"]
    assert cloud.site.try_create("port", ADMIN, network_id=made).status == 201
    beside = file.with_suffix(".kept")
    beside.write_bytes(kept)
    beside.replace(file)  # at once: who reads half of it puts it aside
    until(lambda: cloud.why(cloud.site), timeout_s=120, what="the site knows that it was restored")
    assert not cloud.try_boot()
    cloud.site.wan.heal()
    cloud.settle()
    running.append(cloud.boot())
    cloud.check(*running)


def test_what_has_become_of_the_file_is_shown(cloud: Cloud) -> None:
    """By each process, of both tiers; a new one begins afresh."""
    for tier, name in ((cloud.site, "site1"), (cloud.central, "central")):
        (file,) = tier.folder.rglob(f"isthmus-{name}.witness")

        def said() -> str:
            (row,) = tier.call("GET", "/v2.0/site-holdings?fields=epoch").only()  # noqa: B023
            return str(row["epoch"]["witness"])

        assert said() == ""

        def is_told() -> bool:
            # Removed again and again: a look that is under way writes it once more, as it was.
            file.unlink(missing_ok=True)  # noqa: B023
            return "is gone" in said()

        until(is_told, timeout_s=120, what="it is told")
        assert cloud.epoch(tier) == 1
        tier.stop()
        tier.start()
        assert said() == ""
