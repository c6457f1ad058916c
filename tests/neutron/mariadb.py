"""Tiers on MariaDB at its default isolation.

Every test has `new_database`, of one server. Import the other fixtures into a test file: `central`
and `site1` take the place of the ones on SQLite, each with a database of its own, and `sound` looks
at what must always hold after every test of the file.
"""

import subprocess
import sys
from collections.abc import Callable, Iterator

import pytest
import sqlalchemy as sa
from tests.neutron import invariants
from tests.neutron.central_server import CentralServer
from tests.neutron.local_server import LocalServer
from tests.neutron.server import site_user
from tests.neutron.wan import Wan
from tests.ports.conftest import mariadb_url, mariadbd

from isthmus.testing.ovn import OvnDatabases

__all__ = ["central", "mariadb_url", "mariadbd", "new_database", "site1", "sound"]


@pytest.fixture(scope="session")
def new_database(mariadbd: str) -> Callable[[], str]:
    """Give the URL of one Neutron database after the other, each with every table."""
    template = ""
    made = 0

    def make() -> str:
        nonlocal template, made
        engine = sa.create_engine(mariadbd)
        try:
            if not template:
                template = "neutron_template"
                _create(engine, template)
                url = mariadbd.replace("/isthmus?", f"/{template}?")
                command = [sys.executable, "-m", "isthmus.neutron.db.create", url]
                subprocess.run(command, check=True, capture_output=True)
            made += 1
            name = f"neutron_{made}"
            _create(engine, name)
            _copy(engine, template, name)
        finally:
            engine.dispose()
        return mariadbd.replace("/isthmus?", f"/{name}?")

    return make


def _create(engine: sa.Engine, name: str) -> None:
    with engine.begin() as connection:
        connection.exec_driver_sql(f"CREATE DATABASE {name} CHARACTER SET utf8mb4")


def copy(url: str, old: str, new: str) -> None:
    """Copy a database of the server at a URL, as a backup does."""
    engine = sa.create_engine(url.replace(f"/{sa.make_url(url).database}?", "/isthmus?"))
    try:
        _create(engine, new)
        _copy(engine, old, new)
    finally:
        engine.dispose()


def drop(url: str, name: str) -> None:
    """Drop a database."""
    engine = sa.create_engine(url.replace(f"/{sa.make_url(url).database}?", "/isthmus?"))
    try:
        with engine.begin() as connection:
            connection.exec_driver_sql(f"DROP DATABASE {name}")
    finally:
        engine.dispose()


def _copy(engine: sa.Engine, old: str, new: str) -> None:
    """Copy a database's tables, foreign keys included, and their few rows."""
    with engine.begin() as connection:
        connection.exec_driver_sql("SET FOREIGN_KEY_CHECKS = 0")
        tables = connection.exec_driver_sql(f"SHOW TABLES FROM {old}").scalars().all()
        connection.exec_driver_sql(f"USE {new}")
        for table in tables:
            made = connection.exec_driver_sql(f"SHOW CREATE TABLE {old}.{table}").one()
            connection.exec_driver_sql(made[1].replace("%", "%%"))
            connection.exec_driver_sql(f"INSERT INTO {new}.{table} SELECT * FROM {old}.{table}")
        connection.exec_driver_sql("SET FOREIGN_KEY_CHECKS = 1")


@pytest.fixture(scope="module")
def central(
    request: pytest.FixtureRequest,
    new_database: Callable[[], str],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[CentralServer]:
    """A central on MariaDB with two sites; options as with the one on SQLite."""
    options = {"isthmus": getattr(request.module, "CENTRAL_OPTIONS", {})}
    folder = tmp_path_factory.mktemp("central-mariadb")
    server = CentralServer(folder, folder / "no-template", url=new_database(), extra=options)
    server.start()
    try:
        server.make_sites()
        yield server
    finally:
        server.kill()


@pytest.fixture(scope="module")
def site1(
    central: CentralServer,
    site_ovn: OvnDatabases,
    new_database: Callable[[], str],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[LocalServer]:
    """The site `site1` of `central`, on MariaDB too."""
    folder = tmp_path_factory.mktemp("site1-mariadb")
    wan = Wan(lambda: central.port, site_user("site1"))
    server = LocalServer(folder, folder / "no-template", site_ovn, "site1", wan, url=new_database())
    try:
        server.start()
        server.wait_registered()
        yield server
    finally:
        server.kill()
        wan.close()


@pytest.fixture(autouse=True)
def sound(request: pytest.FixtureRequest, central: CentralServer) -> Iterator[None]:
    """Check the invariants of both tiers after a test."""
    yield
    sites = [request.getfixturevalue("site1")] if "site1" in request.fixturenames else []
    invariants.check(central, *sites)
