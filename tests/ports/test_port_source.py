"""What the relay reports of a port is never older than what it says that both tiers agree on."""

import contextlib
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from isthmus.federation.merge import merge
from isthmus.federation.port import SHARED
from isthmus.model import attribute
from isthmus.model.intent import IntentKey
from isthmus.model.resource import ResourceType
from isthmus.model.site import CENTRAL, SiteName
from isthmus.store.local import mapping
from isthmus.store.sql.engine import open_engine, writing
from isthmus.store.sql.tables import METADATA

with warnings.catch_warnings():  # what is deprecated among Neutron's own imports
    warnings.simplefilter("ignore")
    from neutron_lib.db import api as db_api

    from isthmus.neutron.local.report import source

SITE = SiteName("site1")
PORT = "port"


@pytest.mark.parametrize("early", [False, True], ids=["read before", "read after"])
def test_a_change_of_centrals_that_comes_while_a_port_is_read_is_not_undone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, early: bool
) -> None:
    """An apply commits the port, and then what is agreed on, while the relay reads the two."""
    engine = open_engine(f"sqlite:///{tmp_path}/neutron.db")
    METADATA.create_all(engine)
    with writing(engine) as connection:
        old = {"name": "old"}
        mapping.add(connection, ResourceType.PORT, PORT, SITE, project_id="p", base=old)

    class Core:
        name = "old"

        def get_ports(self, _context: Any, _filters: Any) -> list[dict[str, Any]]:
            if early:
                self.apply()
            found = {"id": PORT, "name": self.name, "fixed_ips": []}
            self.apply()
            return [found]

        def apply(self) -> None:
            self.name = "new"
            with writing(engine) as connection:
                mapping.set_base(connection, PORT, {"name": "new"})

    @contextlib.contextmanager
    def using(context: Any) -> Iterator[None]:
        with engine.connect() as connection:
            context.session = SimpleNamespace(connection=lambda: connection)
            yield

    monkeypatch.setattr(source, "n_context", SimpleNamespace(get_admin_context=SimpleNamespace))
    monkeypatch.setattr(db_api, "CONTEXT_READER", SimpleNamespace(using=using))
    locator = SimpleNamespace(locate=cast("Callable[..., None]", lambda *_: None))
    key = IntentKey(CENTRAL, ResourceType.PORT, PORT)
    item = source.PortSource(Core(), cast(Any, locator)).read(CENTRAL, [key])[key]
    assert item.state is not None
    mine = {name: value for name, value in item.state.items() if name in SHARED}
    assert merge(item.state[attribute.BASE], mine, {"name": "new"})["name"] == "new"
    engine.dispose()
