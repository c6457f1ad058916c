"""Real Neutron servers, one process each."""

import fcntl
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.neutron.central_server import CentralServer
from tests.neutron.local_server import LocalServer, add_chassis
from tests.neutron.mariadb import mariadb_url, mariadbd, new_database
from tests.neutron.server import site_user
from tests.neutron.wan import Wan

from isthmus.testing.needed import skip_without
from isthmus.testing.ovn import OvnDatabases, missing_programs

#: Here, and not in the files that use them: one server for all, and one database to copy.
__all__ = ["mariadb_url", "mariadbd", "new_database"]


@pytest.fixture(scope="session")
def neutron_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Give a database with every table, to copy; the workers of a run share it."""
    folder = tmp_path_factory.getbasetemp()
    folder = folder.parent if "PYTEST_XDIST_WORKER" in os.environ else folder
    path = folder / "neutron-template.db"
    with (folder / "neutron-template.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not path.exists():
            new = folder / "neutron-template.new"
            # In a process of its own: importing Neutron changes the whole interpreter.
            command = [sys.executable, "-m", "isthmus.neutron.db.create", f"sqlite:///{new}"]
            subprocess.run(command, check=True, capture_output=True)
            new.rename(path)
    return path


@pytest.fixture(scope="module")
def central(
    request: pytest.FixtureRequest,
    neutron_template: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[CentralServer]:
    """A central with two sites; a file's tests share it and use networks of their own.

    A file may have options for it in `CENTRAL_OPTIONS`, of other sections in `CENTRAL_SECTIONS`.
    """
    options = {
        "isthmus": getattr(request.module, "CENTRAL_OPTIONS", {}),
        **getattr(request.module, "CENTRAL_SECTIONS", {}),
    }
    folder = tmp_path_factory.mktemp("central")
    server = CentralServer(folder, neutron_template, extra=options)
    server.start()
    try:
        server.make_sites()
        yield server
    finally:
        server.kill()


@pytest.fixture
def new_central(neutron_template: Path, tmp_path: Path) -> Iterator[Callable[[], CentralServer]]:
    """Make centrals of a test's own."""
    made: list[CentralServer] = []

    def make() -> CentralServer:
        server = CentralServer(tmp_path / f"central{len(made)}", neutron_template)
        made.append(server)
        return server

    yield make
    for server in made:
        server.kill()


@pytest.fixture(scope="module")
def site_ovn() -> Iterator[OvnDatabases]:
    """The OVN databases of a site, with two hypervisors."""
    skip_without(missing_programs())
    folder = Path(tempfile.mkdtemp(prefix="isthmus-ovn-"))  # short: sockets have 107 bytes
    try:
        with OvnDatabases(folder) as ovn:
            for number in (1, 2):
                add_chassis(ovn, f"hv{number}", f"host{number}", f"192.0.2.{number}")
            yield ovn
    finally:
        shutil.rmtree(folder)


@pytest.fixture(scope="module")
def site1(
    request: pytest.FixtureRequest,
    central: CentralServer,
    site_ovn: OvnDatabases,
    neutron_template: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[LocalServer]:
    """The site `site1` of `central`; a file's tests share it and use networks of their own.

    A file may have options for it in `SITE1_OPTIONS`, of other sections in `SITE1_SECTIONS`.
    """
    wan = Wan(lambda: central.port, site_user("site1"))
    folder, options = tmp_path_factory.mktemp("site1"), getattr(request.module, "SITE1_OPTIONS", {})
    extra = getattr(request.module, "SITE1_SECTIONS", {})
    server = LocalServer(
        folder, neutron_template, site_ovn, "site1", wan, isthmus=options, extra=extra
    )
    try:
        server.start()
        server.wait_registered()
        yield server
    finally:
        server.kill()
        wan.close()
