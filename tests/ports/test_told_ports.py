"""What a registered site tells central of its ports: of none that it has forgotten."""

import warnings
from pathlib import Path
from typing import Any, cast

import sqlalchemy as sa
from tests.ports.test_registrar import open_restored

from isthmus.clients.http.central import CentralClient
from isthmus.model import number
from isthmus.model.site import SiteName
from isthmus.store.ports import port_key
from isthmus.store.sql.engine import writing
from isthmus.store.sql.tables import JOURNAL

with warnings.catch_warnings():  # what is deprecated among Neutron's own imports
    warnings.simplefilter("ignore")
    from isthmus.neutron.local.registrar import Registrar


def test_a_key_that_comes_back_before_its_port_makes_no_report(tmp_path: Path) -> None:
    """Of a port that is not there it would say that it was deleted, and central would follow."""
    engine = open_restored(tmp_path, port="here")
    lease = {"id": "lease", "kind": "port_key", "pool_id": "network", "site": "site1"}
    keys = [
        {"port_id": one, "network_id": "network", "port_key": key}
        for one, key in (("here", 7), ("forgotten", 8))
    ]

    class Client:
        def register(self, body: dict[str, Any]) -> dict[str, Any]:
            said = {"restored": False, "register": False, "epoch": body["epoch"], "seen": 0}
            known = {"registration": "row", "heard": number.make(1, 7), "proof": "x", "pending": 1}
            given = {"leases": [{**lease, "first": "1", "last": "64"}], "port_keys": keys}
            return {**said, **known, **given, "void": [], "aside": []}

    client = cast(CentralClient, Client())
    registrar = Registrar(
        SiteName("site1"), lambda: client, lambda: engine, folder=tmp_path, every_s=1
    )
    registrar.turn()
    with writing(engine) as connection:
        assert port_key.list_keys(connection).keys() == {"here", "forgotten"}
        assert connection.scalars(sa.select(JOURNAL.c.resource_id)).all() == ["here"]
    engine.dispose()
