"""Make the databases of a Nova: schemas, cells and a few flavors, all in one process.

Run as `python -m isthmus.nova.create NOVA_CONF CELLS`. `[database]` of that file is the first
cell's. What the cells' mappings say about addresses are Nova's own placeholders, which it fills in
from the configuration of whoever reads them, so that the databases can be copied to another site.
"""

import sys

from isthmus import errors
from isthmus.lab.compute.render import (
    CELL0,
    CELL_DATABASE,
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
    from nova.db import migration

    config.parse_args(["nova-manage", "--config-file", conf])
    objects.register_all()
    _insist(manage.ApiDbCommands().sync(), "the API database")
    own = manage.CellV2Commands()
    _insist(own.map_cell0(database_connection=CELL_DATABASE.format(name=CELL0)), "cell0")
    _insist(manage.DbCommands().sync(), "the first cell's database")
    for number in range(1, cells + 1):
        done = own.create_cell(
            name=cell_name(number),
            database_connection=CELL_DATABASE.format(name=cell_database(number)),
            transport_url=CELL_TRANSPORT.format(name=cell_name(number)),
        )
        _insist(done, cell_name(number))
    admin = context.get_admin_context()
    for mapping in objects.CellMappingList.get_all(admin):
        with context.target_cell(admin, mapping) as inside:
            migration.db_sync(context=inside)
    _make_flavors(admin, objects)


def _make_flavors(context: object, objects: object) -> None:
    for number, (name, memory, vcpus, disk) in enumerate(FLAVORS, start=1):
        objects.Flavor(  # type: ignore[attr-defined]
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


def _insist(code: int | None, what: str) -> None:
    """Stop where one of nova-manage's own commands says that it failed."""
    if code not in {None, 0}:
        raise errors.StepFailed(f"nova-manage could not make {what} (it answered {code})")


if __name__ == "__main__":
    run()
