"""Nova's own list of servers over several cells, in a process of its own.

    python tests/cells/oracle_servers.py API CELL... <cases.json
    python tests/cells/oracle_servers.py states <statuses.json

The second form answers Nova's table of states, and which states each list of statuses asks for.
For each case `nova.compute.instance_list` is asked over the cells that the API database maps; with
`one` true, the database of the first cell alone. The answer is the rows, or the name of the error.
"""

# mypy: disable-error-code="import-not-found, import-untyped"

import json
import sys
from typing import Any

COLUMNS = ("uuid", "display_name", "vm_state", "task_state", "host", "project_id", "power_state")


def answer(case: dict[str, Any], urls: list[str]) -> Any:
    from nova import context
    from nova.compute import instance_list
    from nova.db.main import api as db
    from nova.objects import cell_mapping

    admin = context.get_admin_context()
    keys = [one[0] for one in case["sort"]] or None
    dirs = [one[1] for one in case["sort"]] or None
    if case["one"]:
        cell = cell_mapping.CellMapping(
            uuid="one", name="one", database_connection=urls[-1], transport_url="none:///"
        )
        with context.target_cell(admin, cell) as target:
            rows = db.instance_get_all_by_filters_sort(
                target,
                case["filters"],
                columns_to_join=["metadata"],
                sort_keys=[*(keys or ()), "uuid"],
                sort_dirs=[*(dirs or ()), "asc"],
            )
    else:
        _, rows = instance_list.get_instances_sorted(
            admin,
            case["filters"],
            case["limit"],
            case["marker"],
            ["metadata"],
            keys,
            dirs,
            batch_size=case["batch"],
        )
    return [
        {
            **{name: row[name] for name in COLUMNS},
            "metadata": {one["key"]: one["value"] for one in row["metadata"]},
        }
        for row in rows
    ]


def answer_states() -> Any:
    from nova.api.openstack import common

    return [
        common._STATE_MAP,
        [common.task_and_vm_state_from_status(one) for one in json.load(sys.stdin)],
    ]


def main() -> None:
    if sys.argv[1:] == ["states"]:
        json.dump(answer_states(), sys.stdout)
        return
    from nova import config, objects
    from oslo_messaging import transport

    api, *cells = sys.argv[1:]
    objects.register_all()
    config.CONF([], project="nova", default_config_files=[], default_config_dirs=[])
    config.CONF.register_opts(transport._transport_opts)
    config.CONF.set_override("connection", api, group="api_database")
    config.CONF.set_override("connection", cells[0], group="database")
    from nova.db.api import api as api_db
    from nova.db.main import api as main_db

    api_db.configure(config.CONF)
    main_db.configure(config.CONF)
    answers = []
    for case in json.load(sys.stdin):
        try:
            answers.append(answer(case, cells))
        except Exception as exc:  # noqa: BLE001 - it is an answer too
            answers.append(f"{type(exc).__name__}: {exc}"[:200])
    json.dump(answers, sys.stdout, default=str)


if __name__ == "__main__":
    main()
