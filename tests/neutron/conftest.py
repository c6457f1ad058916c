"""Real Neutron servers, one process each."""

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.neutron.central_server import CentralServer


@pytest.fixture(scope="session")
def neutron_template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("template") / "neutron.db"
    # In a process of its own: importing Neutron changes the whole interpreter.
    command = [sys.executable, "-m", "isthmus.neutron.db.create", f"sqlite:///{path}"]
    subprocess.run(command, check=True, capture_output=True)
    return path


@pytest.fixture(scope="session")
def central(
    neutron_template: Path, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[CentralServer]:
    """A central with two sites; tests share it and use networks of their own."""
    server = CentralServer(tmp_path_factory.mktemp("central"), neutron_template)
    server.start()
    try:
        for number in (1, 2):
            server.create(
                "site",
                name=f"site{number}",
                region=f"Region{number}",
                availability_zones=[f"zone{number}"],
                service_user=f"isthmus-site{number}",
            )
        yield server
    finally:
        server.stop()


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
        server.stop()
