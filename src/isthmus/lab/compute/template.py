"""The databases of a site's Nova, made once and copied ever after: a whole data folder of MariaDB.

Its schemas take a minute of migrations; a copy takes less than a second. The cells' mappings in it
hold Nova's placeholders in the place of addresses, so that one template is for every site.
"""

import sys
from pathlib import Path

from isthmus.lab.compute.services import ZYGOTE_ENV
from isthmus.lab.protocols import Tools
from isthmus.lab.tier import mariadb
from isthmus.lab.tier.mariadb import DATA, build_data, database_url, run_sql
from isthmus.lab.tier.template import BUILD_TIMEOUT_S, Templates, digest, versions
from isthmus.services import compute
from isthmus.services.render import render_sections


def make_databases(templates: Templates, tools: Tools, cells: int) -> Path:
    """Return a data folder of MariaDB with everything that a site's Nova begins with.

    Args:
        templates: where it is kept.
        tools: what to make it with.
        cells: how many cells it has.

    Raises:
        IsthmusError: it could not be made.
    """
    made_of = versions("nova", "openstack-placement", "glance", "oslo-db")
    sources = [Path(compute.__file__), Path(mariadb.__file__), Path(__file__)]
    sources.append(Path(__file__).parents[2] / "nova" / "create.py")
    key = digest(made_of, str(cells), *(source.read_text() for source in sources))

    def build(folder: Path) -> None:
        build_data(folder, tools, lambda socket: _fill(folder, socket, tools, cells))

    return templates.made(f"compute-{key}", build) / DATA


def _fill(folder: Path, socket: Path, tools: Tools, cells: int) -> None:
    names = [compute.API, compute.CELL0, compute.PLACEMENT, compute.GLANCE]
    own = [compute.cell_database(number) for number in range(1, cells + 1)]
    making = "".join(f"CREATE DATABASE {name} CHARACTER SET utf8mb3;" for name in [*names, *own])
    run_sql(tools, socket, making)
    programs = Path(sys.executable).parent
    confs = _write_confs(folder, socket)
    commands: list[list[str | Path]] = [
        [programs / "placement-manage", "--config-file", confs["placement"], "db", "sync"],
        [programs / "glance-manage", "--config-file", confs["glance"], "db_sync"],
        [sys.executable, "-m", "isthmus.nova.create", confs["nova"], str(cells)],
    ]
    for command in commands:
        tools.run(command, env=ZYGOTE_ENV, timeout_s=BUILD_TIMEOUT_S)


def _write_confs(folder: Path, socket: Path) -> dict[str, Path]:
    def url(name: str) -> dict[str, object]:
        return {"connection": database_url(socket, name)}

    sections: dict[str, dict[str, dict[str, object]]] = {
        "placement": {"placement_database": url(compute.PLACEMENT)},
        "glance": {"database": url(compute.GLANCE)},
        "nova": {
            "DEFAULT": {"transport_url": "rabbit://nova:none@localhost:5672/"},
            "api_database": url(compute.API),
            "database": url(compute.cell_database(1)),
        },
    }
    paths = {name: folder / f"{name}.conf" for name in sections}
    for name, path in paths.items():
        path.write_text(render_sections(sections[name]))
    return paths
