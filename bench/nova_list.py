"""Nova's own list of servers over several cells, timed in a process of its own.

    python bench/nova_list.py API CELL0 <lines

Each line on stdin is a limit; the answer is one line: seconds, CPU seconds, and the uuids in order.
Before that it writes the flavor of an instance as Nova stores it. `instance_list` is what
`GET /servers/detail` calls; expected attributes are the tables that our side reads too. What the
API does after that (view, faults, policy, validation of its answer) is not in it.
"""

# mypy: disable-error-code="import-not-found, import-untyped"

import json
import sys
import time


def answer() -> None:
    from nova import config, context, objects
    from oslo_messaging import transport

    api, cell0 = sys.argv[1:]
    objects.register_all()
    config.CONF([], project="nova", default_config_files=[], default_config_dirs=[])
    config.CONF.register_opts(transport._transport_opts)  # noqa: SLF001 - of `transport_url`
    config.CONF.set_override("connection", api, group="api_database")
    config.CONF.set_override("connection", cell0, group="database")
    from nova.compute import instance_list
    from nova.db.api import api as api_db
    from nova.db.main import api as main_db

    api_db.configure(config.CONF)
    main_db.configure(config.CONF)
    flavor = objects.Flavor(
        id=1,
        name="m1.small",
        flavorid="1",
        memory_mb=2048,
        vcpus=1,
        root_gb=20,
        ephemeral_gb=0,
        swap=0,
        rxtx_factor=1.0,
        vcpu_weight=0,
        disabled=False,
        is_public=True,
        extra_specs={"hw:cpu_policy": "shared"},
        description=None,
    )
    say(json.dumps({"cur": flavor.obj_to_primitive(), "old": None, "new": None}))
    admin = context.get_admin_context()
    for line in sys.stdin:
        began, cpu = time.perf_counter(), time.process_time()
        found, down = instance_list.get_instance_objects_sorted(
            admin,
            {"deleted": False},
            int(line),
            None,
            ["metadata", "info_cache", "flavor", "tags"],
            ["created_at"],
            ["desc"],
        )
        uuids = [one.uuid for one in found]
        took = [time.perf_counter() - began, time.process_time() - cpu]
        say(json.dumps([*took, uuids, len(down)]))


def say(text: str) -> None:
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    answer()
