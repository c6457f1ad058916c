"""A call that central does not accept before the site has registered waits for that, shortly."""

import threading
from pathlib import Path
from typing import Any, cast

import pytest
from tests.ports.test_registrar import open_site

from isthmus import errors
from isthmus.clients.http.central import CentralClient
from isthmus.model import number
from isthmus.model.site import SiteName
from isthmus.neutron.local import registrar as module
from isthmus.neutron.local.registrar import Registrar


class Central:
    """One that answers when it is told to."""

    def __init__(self, error: errors.IsthmusError | None = None) -> None:
        self.asked = threading.Event()
        self.answers = threading.Event()
        self._error = error

    def register(self, body: dict[str, Any]) -> dict[str, Any]:
        self.asked.set()
        self.answers.wait(60)
        if self._error is not None:
            raise self._error
        said = {"restored": False, "register": False, "epoch": body["epoch"], "seen": 0}
        given: dict[str, Any] = {"void": [], "leases": [], "port_keys": [], "aside": []}
        known = {"registration": "row", "heard": number.make(1, 7), "proof": "x"}
        return {**said, **given, **known, "pending": 0}


@pytest.mark.parametrize(
    ("error", "renewed"), [(None, True), (errors.Unreachable("away"), False)], ids=str
)
def test_it_waits_for_the_hello_that_is_on_its_way(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: errors.IsthmusError, renewed: bool
) -> None:
    monkeypatch.setattr(module, "_RENEW_S", 60.0)
    engine, central = open_site(tmp_path), Central(error)
    client = cast(CentralClient, central)
    registrar = Registrar(
        SiteName("site1"), lambda: client, lambda: engine, folder=tmp_path, every_s=60
    )
    registrar.start()
    try:
        assert central.asked.wait(60)
        found: list[bool] = []
        waiting = threading.Thread(target=lambda: found.append(registrar.renew(wait=True)))
        waiting.start()
        central.answers.set()
        waiting.join(60)
        assert found == [renewed]
    finally:
        registrar.stop()
        engine.dispose()


def test_it_does_not_wait_for_ever(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_RENEW_S", 0.1)
    engine, central = open_site(tmp_path), Central()
    client = cast(CentralClient, central)
    registrar = Registrar(
        SiteName("site1"), lambda: client, lambda: engine, folder=tmp_path, every_s=60
    )
    registrar.start()
    try:
        assert central.asked.wait(60)
        assert not registrar.renew(wait=True)
        # Who comes now does not wait for the same hello, nor does one who has no time.
        monkeypatch.setattr(module, "_RENEW_S", 600.0)
        assert not registrar.renew(wait=True)
        assert not registrar.renew(wait=False)
    finally:
        central.answers.set()
        registrar.stop()
        engine.dispose()


def test_nobody_waits_for_a_site_that_central_refuses(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_RENEW_S", 600.0)
    engine, central = open_site(tmp_path), Central(errors.Invalid("no registration"))
    central.answers.set()
    client = cast(CentralClient, central)
    registrar = Registrar(
        SiteName("site1"), lambda: client, lambda: engine, folder=tmp_path, every_s=60
    )
    assert not registrar._attempt()
    assert not registrar.renew(wait=True)
    engine.dispose()
