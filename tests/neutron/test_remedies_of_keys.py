"""Keys that are others than they should be: the remedies of the audit, as they are printed."""

import re
from typing import Any

import pytest
import sqlalchemy as sa
from tests.neutron.front import isthmus
from tests.neutron.test_local_apply import carried
from tests.neutron.test_port_rebind import Bound, bound

from isthmus.store.sql.tables import DATAPATHS, PORT_KEYS
from isthmus.testing.until import until

pytestmark = [pytest.mark.neutron, pytest.mark.timeout(600)]

__all__ = ["bound"]

#: A key that nobody was leased.
_FAR = 20_000


def _change(bound: Bound, change: sa.Update) -> None:
    with bound.site.database(write=True) as connection:
        assert connection.execute(change).rowcount == 1


def _delete_as_printed(bound: Bound, found: Any) -> None:
    (port,) = re.findall(r"`openstack port delete (\S+)`", found["remedy"])
    assert port == bound.id
    assert bound.central.call("DELETE", f"/v2.0/ports/{port}").status == 204
    carried(bound.central, bound.site)


def test_a_port_with_a_key_that_is_not_leased_is_made_anew(bound: Bound) -> None:
    bound.known()
    assert bound.find("port.key_not_leased") == []
    _change(
        bound, sa.update(PORT_KEYS).where(PORT_KEYS.c.port_id == bound.id).values(port_key=_FAR)
    )
    (found,) = bound.find("port.key_not_leased")
    assert f"key {_FAR} of" in found["evidence"]
    _delete_as_printed(bound, found)
    until(lambda: bound.find("port.key_not_leased") == [], what="the audit is clean of it")


def test_a_network_whose_key_is_another_at_a_site_leaves_it_and_comes_back(bound: Bound) -> None:
    bound.known()
    network = DATAPATHS.c.network_id == bound.network_id
    with bound.site.database() as connection:
        key = connection.scalar(sa.select(DATAPATHS.c.datapath_key).where(network))
    assert key is not None
    _change(bound, sa.update(DATAPATHS).where(network).values(datapath_key=int(key) - 500))
    (found,) = bound.find("network.datapath_key")
    assert "Delete the ports that site1 has on it" in found["remedy"]
    assert bound.central.call("DELETE", f"/v2.0/ports/{bound.id}").status == 204
    carried(bound.central, bound.site)
    away, back = re.findall(r"`isthmus ([^`]+) --wait 60`", found["remedy"])
    for command in (away, back):  # nobody carries while one waits here
        isthmus(bound.environment, *command.split())
        carried(bound.central, bound.site)
    with bound.site.database() as connection:
        assert connection.scalar(sa.select(DATAPATHS.c.datapath_key).where(network)) == key
    assert bound.find("network.datapath_key") == []
