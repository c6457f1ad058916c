"""What is kept of an object goes with it, and not with one that came after it."""

import contextlib
import dataclasses
import warnings
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
import sqlalchemy as sa
from tests.ports import neutron_rows

from isthmus.model.item import Item
from isthmus.model.resource import ResourceType
from isthmus.model.site import SiteName
from isthmus.store.local import mapping
from isthmus.store.sql.engine import open_engine, writing
from isthmus.store.sql.tables import METADATA

with warnings.catch_warnings():  # what is deprecated among Neutron's own imports
    warnings.simplefilter("ignore")
    from neutron_lib.db import api as db_api

    from isthmus.neutron.local import materialise
    from isthmus.neutron.local.resource.registry import ROWS

SITE = SiteName("site1")
NETWORK = ResourceType.NETWORK
ITEM = Item(NETWORK, "n", None)


@pytest.fixture
def engine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[sa.Engine]:
    opened = open_engine(f"sqlite:///{tmp_path}/neutron.db")
    METADATA.create_all(opened)
    neutron_rows.METADATA.create_all(opened)

    @contextlib.contextmanager
    def using(context: Any) -> Iterator[None]:
        with writing(opened) as connection:
            context.session = SimpleNamespace(connection=lambda: connection)
            yield

    monkeypatch.setattr(db_api, "CONTEXT_WRITER", SimpleNamespace(using=using))
    yield opened
    opened.dispose()


def make(engine: sa.Engine, *, marked: bool = True, there: bool = True) -> None:
    with writing(engine) as connection:
        if there:
            connection.execute(sa.insert(neutron_rows.TABLES["networks"]).values(id="n"))
        if marked:
            mapping.add(connection, NETWORK, "n", SITE, project_id="p")


def remove(engine: sa.Engine, monkeypatch: pytest.MonkeyPatch, then: Any) -> None:
    """Remove the network, as the listener does it with what is kept of it."""

    def removing(*_: Any) -> None:
        with writing(engine) as connection:
            connection.execute(sa.delete(neutron_rows.TABLES["networks"]))
            mapping.forget(connection, NETWORK, "n")
        then()

    row = dataclasses.replace(ROWS[NETWORK], remove=removing)
    monkeypatch.setitem(cast("dict[Any, Any]", ROWS), NETWORK, row)
    materialise.Materialiser(None, SITE)._remove(SimpleNamespace(), ITEM)


def is_marked(engine: sa.Engine) -> bool:
    with engine.connect() as connection:
        return bool(mapping.find_known(connection, NETWORK, ["n"]))


def test_a_network_that_a_bundle_makes_again_stays_centrals(
    engine: sa.Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    make(engine)
    remove(engine, monkeypatch, lambda: make(engine))
    assert is_marked(engine)


@pytest.mark.parametrize("there", [True, False], ids=["removed", "never made"])
def test_nothing_is_kept_of_a_network_that_is_gone(
    engine: sa.Engine, monkeypatch: pytest.MonkeyPatch, there: bool
) -> None:
    make(engine, there=there)
    remove(engine, monkeypatch, lambda: None)
    assert not is_marked(engine)
