"""A site's Neutron (ML2/OVN with our drivers) in a process of its own, driven over a pipe.

Neutron's configuration and plugins are global, so each server of a test is a process. One line of
JSON asks for a call, one line answers it: `{"call": name, "arguments": {...}}`, `{"result": ...}`
or `{"error": text, "kind": class}`.
"""

import json
import os
import sys
import traceback
from collections.abc import Callable
from typing import Any


def start(config: str, worker: str) -> "Site":
    """Load Neutron as its API (or its maintenance worker) does."""
    from neutron.api import extensions, wsgi
    from neutron.common import config as common_config
    from neutron.plugins.ml2.drivers.ovn.mech_driver.ovsdb import worker as ovn_worker
    from neutron_lib.api import attributes
    from neutron_lib.callbacks import events, registry, resources
    from neutron_lib.plugins import directory

    from isthmus.neutron.db import sqlite
    from neutron import manager

    common_config.register_common_config_options()
    common_config.init(["--config-file", config])
    common_config.setup_logging()
    sqlite.install()
    manager.init()
    extensions.PluginAwareExtensionManager.get_instance().extend_resources(
        "2.0", attributes.RESOURCES
    )
    kind = {"api": wsgi.WorkerService, "maintenance": ovn_worker.MaintenanceWorker}[worker]
    registry.publish(resources.PROCESS, events.BEFORE_SPAWN, kind)
    registry.publish(resources.PROCESS, events.AFTER_INIT, kind)
    return Site(directory.get_plugin())


class Site:
    """What tests can ask for."""

    def __init__(self, plugin: Any) -> None:
        self._plugin = plugin
        self._driver = plugin.mechanism_manager.mech_drivers["isthmus_local"].obj
        self.low: list[str] = []
        self._driver.when_keys_run_low(self.low.append)

    @property
    def context(self) -> Any:
        from neutron_lib import context

        return context.get_admin_context()

    def stretch(self, network_id: str, datapath_key: int, first: int, last: int) -> None:
        """Record what a bundle brings before its network is made."""
        import sqlalchemy as sa

        from isthmus.model.lease import Block, PoolKind
        from isthmus.model.site import SiteName
        from isthmus.neutron.db.session import now, writing
        from isthmus.store.leases import lease
        from isthmus.store.sql.tables import DATAPATHS

        with writing(self.context) as connection:
            connection.execute(
                sa.insert(DATAPATHS).values(network_id=network_id, datapath_key=datapath_key)
            )
            lease.insert(
                connection,
                PoolKind.PORT_KEY,
                network_id,
                SiteName("site1"),
                Block(first, last),
                now=now(),
            )

    def create(self, kind: str, body: dict[str, Any]) -> Any:
        from neutron_lib.api import attributes

        full = {
            "tenant_id": "p1",
            **{
                name: spec["default"]
                for name, spec in attributes.RESOURCES[f"{kind}s"].items()
                if spec.get("allow_post") and "default" in spec
            },
            **body,
        }
        full["tenant_id"] = full["project_id"] = "p1"
        return getattr(self._plugin, f"create_{kind}")(self.context, {kind: full})

    def update(self, kind: str, object_id: str, body: dict[str, Any]) -> Any:
        return getattr(self._plugin, f"update_{kind}")(self.context, object_id, {kind: body})

    def get(self, kind: str, object_id: str) -> Any:
        return getattr(self._plugin, f"get_{kind}")(self.context, object_id)

    def delete(self, kind: str, object_id: str) -> None:
        getattr(self._plugin, f"delete_{kind}")(self.context, object_id)

    def router(self, action: str, **arguments: Any) -> Any:
        from neutron_lib.plugins import constants, directory

        plugin = directory.get_plugin(constants.L3)
        return getattr(plugin, action)(self.context, **arguments)

    def apply(self, items: list[dict[str, Any]]) -> list[dict[str, str]]:
        from isthmus.model.item import Item
        from isthmus.neutron.local.ovn import shadow

        results = shadow.apply(self.context, [Item.from_dict(one) for one in items])
        return [one.to_dict() for one in results]

    def wait_idle(self) -> bool:
        return bool(self._driver.reconciler.wait_idle(100))

    def sweep(self) -> bool:
        self._driver.reconciler.wake(everything=True)
        return self.wait_idle()

    def keys_low(self) -> list[str]:
        return self.low

    def collect(self, networks: list[str] | None = None) -> Any:
        from isthmus.dataplane.holdings import Part
        from isthmus.neutron.local.ovn import dataplane

        return dataplane.collect(Part(networks=networks, routers=[]) if networks else None)

    def pulse(self) -> Any:
        from isthmus.neutron.local.ovn import dataplane

        return dataplane.report_pulse()

    def repair(self) -> None:
        """Do what the maintenance worker does every five minutes, with what is young, too."""
        from neutron.db import ovn_revision_numbers_db as notes
        from neutron.plugins.ml2.drivers.ovn.mech_driver.ovsdb import maintenance

        notes.INCONSISTENCIES_OLDER_THAN = -60
        driver = self._plugin.mechanism_manager.mech_drivers["ovn"].obj
        maintenance.DBInconsistenciesPeriodics(driver._ovn_client).check_for_inconsistencies()

    def write(self, kind: str, body: dict[str, Any]) -> None:
        """Write an object to OVN by what was read of it before, as the maintenance worker does."""
        driver = self._plugin.mechanism_manager.mech_drivers["ovn"].obj
        getattr(driver._ovn_client, f"create_{kind}")(self.context, body)

    def client_class(self) -> str:
        driver = self._plugin.mechanism_manager.mech_drivers["ovn"].obj
        return type(driver._ovn_client).__name__

    def table(self, name: str) -> list[dict[str, Any]]:
        import sqlalchemy as sa

        from isthmus.neutron.db.session import reading
        from isthmus.store.sql.tables import METADATA

        with reading(self.context) as connection:
            rows = connection.execute(sa.select(METADATA.tables[name])).mappings()
            return [dict(row) for row in rows]


def main() -> None:
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # whatever Neutron prints goes to the log
    site: Site | None = None

    def say(answer: dict[str, Any]) -> None:
        answers.write(json.dumps(answer, default=str) + "\n")
        answers.flush()

    try:
        site = start(sys.argv[1], sys.argv[2])
        say({"result": "ready"})
        for line in sys.stdin:
            asked = json.loads(line)
            method: Callable[..., Any] = getattr(site, asked["call"])
            try:
                say({"result": method(**asked["arguments"])})
            except Exception as error:  # noqa: BLE001
                traceback.print_exc()
                inner = [str(one) for one in getattr(error, "inner_exceptions", [])]
                say({"error": " ".join([str(error), *inner]), "kind": type(error).__name__})
    except Exception:  # noqa: BLE001
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(0)  # the IDLs' threads would hold the process


if __name__ == "__main__":
    main()
