"""Make the databases of a Nova: schemas, cells and a few flavors, all in one process.

Run as `python -m isthmus.nova.create NOVA_CONF CELLS`. `[database]` of that file names any
of the cells' databases. What the cells' mappings say about addresses are Nova's own placeholders,
which it fills in from the configuration of whoever reads them, so that the databases can be copied
to another site, and hold no password. Run again it makes what is missing, and migrates; what was
made is printed, a line each that begins with `made`.
"""

import sys
from typing import Any
from urllib.parse import urlsplit

from isthmus import errors
from isthmus.services.compute import (
    CELL0,
    CELL_DATABASE,
    CELL_DATABASE_LOGIN,
    CELL_TRANSPORT,
    cell_database,
    cell_name,
)

#: (name, MiB of memory, VCPUs, GiB of disk), as many clouds have them.
FLAVORS = (
    ("m1.nano", 64, 1, 1),
    ("m1.tiny", 512, 1, 1),
    ("m1.small", 2048, 1, 10),
    ("m1.medium", 4096, 2, 20),
)


def run() -> None:
    """Run as a command."""
    conf, cells = sys.argv[1], int(sys.argv[2])
    from nova import monkey_patch

    monkey_patch.patch(backend="threading")  # before anything else of Nova's, as its programs do
    from nova import config, context, objects
    from nova.cmd import manage

    config.parse_args(["nova-manage", "--config-file", conf])
    objects.register_all()
    has_password = bool(urlsplit(config.CONF.database.connection).password)
    database = CELL_DATABASE_LOGIN if has_password else CELL_DATABASE
    own, admin = manage.CellV2Commands(), context.get_admin_context()
    _migrate("api")
    known = {one.name for one in objects.CellMappingList.get_all(admin)}
    if cell_name(1) not in known:
        _make_flavors(admin, objects)
    if "cell0" not in known:
        _insist(own.map_cell0(database_connection=database.format(name=CELL0)), "cell0")
        _tell("cell0")
    for number in range(1, cells + 1):
        if cell_name(number) in known:
            continue
        done = own.create_cell(
            name=cell_name(number),
            database_connection=database.format(name=cell_database(number)),
            transport_url=CELL_TRANSPORT.format(name=cell_name(number)),
        )
        _insist(done, cell_name(number))
        _tell(cell_name(number))
    for mapping in objects.CellMappingList.get_all(admin):
        with context.target_cell(admin, mapping) as inside:
            _migrate("main", inside)


def _migrate(database: str, context: object = None) -> None:
    from nova.db import migration

    before = migration.db_version(database=database, context=context)
    migration.db_sync(database=database, context=context)
    if migration.db_version(database=database, context=context) != before:
        _tell(f"tables ({database})")


def _make_flavors(context: object, objects: Any) -> None:
    known = {one.name for one in objects.FlavorList.get_all(context)}
    for number, (name, memory, vcpus, disk) in enumerate(FLAVORS, start=1):
        if name in known:
            continue
        objects.Flavor(
            context,
            flavorid=str(number),
            name=name,
            memory_mb=memory,
            vcpus=vcpus,
            root_gb=disk,
            ephemeral_gb=0,
            swap=0,
            rxtx_factor=1.0,
            is_public=True,
            disabled=False,
        ).create()
        _tell(f"flavor {name}")


def _tell(what: str) -> None:
    sys.stdout.write(f"made {what}\n")


def _insist(code: int | None, what: str) -> None:
    """Stop where one of nova-manage's own commands says that it failed."""
    if code not in {None, 0}:
        raise errors.StepFailed(f"nova-manage could not make {what} (it answered {code})")


if __name__ == "__main__":
    run()
