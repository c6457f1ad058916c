"""Fixtures: a site's OVN databases, and connections to them."""

import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from isthmus.clients.ovsdb import ovn, ovn_connection
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
def rows(databases: OvnDatabases) -> Iterator[ovn.OvnRows]:
    """Connections to them."""
    opened = ovn_connection.connect(databases.nb_remote, databases.sb_remote, timeout_s=10)
    yield opened
    ovn_connection.disconnect(opened)
