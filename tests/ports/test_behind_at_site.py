"""A restored site asks how far it has heard of the ports of others."""

import warnings
from pathlib import Path
from typing import Any, cast

from tests.ports.test_registrar import open_restored

from isthmus.clients.http.central import CentralClient
from isthmus.model import number
from isthmus.model.site import SiteName
from isthmus.store.sql.engine import writing
from isthmus.store.tiers import epoch

with warnings.catch_warnings():  # what is deprecated among Neutron's own imports
    warnings.simplefilter("ignore")
    from isthmus.neutron.local.registrar import Registrar


def test_a_site_asks_until_it_has_heard_of_the_ports_of_others(tmp_path: Path) -> None:
    """It gives out addresses meanwhile; what its OVN has of them stays."""
    engine = open_restored(tmp_path)
    answers = iter([0, 2, 2, 1, 1, 0])
    said = []

    class Client:
        def register(self, body: dict[str, Any]) -> dict[str, Any]:
            said.append((body["leases"] is not None, int(body["behind"])))
            told = {"restored": False, "register": False, "epoch": body["epoch"], "seen": 0}
            given = {"void": [], "leases": [], "port_keys": [], "aside": [], "pending": 0}
            known = {"registration": "row", "heard": number.make(1, 7), "proof": "x"}
            return {**told, **given, **known, "behind": next(answers)}

    client = cast(CentralClient, Client())
    registrar = Registrar(
        SiteName("site1"), lambda: client, lambda: engine, folder=tmp_path, every_s=1
    )
    for answer in (2, 2, 1, 1, 0):
        # What central is about to send is over soon; what it has yet to hear may take days.
        assert registrar.turn() is (answer != 1)
        with writing(engine) as connection:
            assert epoch.read(connection).recovered
            assert epoch.read(connection).behind == answer
    assert said == [(False, 0), (True, 2), (False, 2), (False, 2), (False, 1), (False, 1)]
