"""Fixtures: a site's OVN databases, and connections to them."""

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from isthmus.clients.ovsdb import ovn_connection
from isthmus.dataplane.rows import OvnRows
from isthmus.testing.needed import skip_without
from isthmus.testing.ovn import OvnDatabases, missing_programs


@pytest.fixture
def databases() -> Iterator[OvnDatabases]:
    """Real NB, SB and northd."""
    skip_without(missing_programs())
    folder = Path(tempfile.mkdtemp(prefix="isthmus-ovn-"))
    try:
        with OvnDatabases(folder) as site:
            yield site
    finally:
        shutil.rmtree(folder)


@pytest.fixture
def rows(databases: OvnDatabases) -> Iterator[OvnRows]:
    """Connections to them."""
    nb, sb = ovn_connection.connect(databases.nb_remote, databases.sb_remote, timeout_s=60)
    yield OvnRows(nb, sb)
    ovn_connection.disconnect(nb, sb)
