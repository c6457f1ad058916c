"""Nova's scheduler and API over drawn cells, in a process of their own.

    python tests/cells/oracle_fresh.py API <steps.json

Steps are SQL on the API database, or a question: `hosts` that the scheduler sees, and `servers`
that the API lists. The answers are a list. With `fresh` in the first step, what has both read the
cells again is loaded as a configuration does it.
"""

# mypy: disable-error-code="import-not-found, import-untyped"

import json
import sys
from typing import Any


def main() -> None:
    from nova import monkey_patch

    monkey_patch.patch(backend="threading")
    import sqlalchemy as sa
    from nova import config, context, objects
    from nova.scheduler import host_manager
    from oslo_messaging import transport

    url = sys.argv[1]
    steps = json.load(sys.stdin)
    objects.register_all()
    config.CONF([], project="nova", default_config_files=[], default_config_dirs=[])
    config.CONF.register_opts(transport._transport_opts)
    config.CONF.set_override("connection", url, "api_database")
    from nova.db.api import api as api_database
    from nova.db.main import api as main_database

    config.CONF.set_override("connection", url, "database")
    api_database.configure(config.CONF)
    main_database.configure(config.CONF)
    engine = sa.create_engine(url)
    admin = context.get_admin_context()
    fresh = steps.pop(0) == "fresh"
    ask: Any = _list_servers
    if fresh:
        own = "isthmus.nova.fresh_cells.FreshCells"
        classes = ["nova.scheduler.weights.all_weighers", own]
        config.CONF.set_override("weight_classes", classes, "filter_scheduler")
        from isthmus.nova import fresh_cells

        fresh_cells.MOST_AGE_S = 0.0
        application = fresh_cells.make_filter({})(_list_servers)
        ask = application
    json.dump(_walk(host_manager.HostManager(), engine, admin, steps, ask), sys.stdout)


def _walk(manager: Any, engine: Any, admin: Any, steps: list[str], ask: Any) -> list[Any]:
    from nova.compute import instance_list

    # What a process of Nova has done long before: two threads that are the first to do it at
    # once may trip over what the other one is still importing.
    for one in manager.cells.values():
        manager._get_computes_for_cells(admin, [one], None)
    answers: list[Any] = []
    for step in steps:
        if step == "hosts":
            states = manager.get_host_states_by_uuids(admin, None, None)
            answers.append(sorted(one.host for one in states))
        elif step == "servers":
            answers.append(ask({"admin": admin, "list": instance_list}, answers.append))
        else:
            with engine.begin() as connection:
                connection.exec_driver_sql(step)
    return answers


def _list_servers(environ: dict[str, Any], _start: Any) -> Any:
    _, rows = environ["list"].get_instances_sorted(
        environ["admin"], {"deleted": False}, None, None, [], None, None
    )
    return sorted(row["uuid"] for row in rows)


if __name__ == "__main__":
    main()
