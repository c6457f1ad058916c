"""`isthmus-ovn-db-sync-util`: Neutron's rows in a site's OVN, compared with Neutron's database.

Neutron has a tool for that (`neutron.cmd.ovn.neutron_ovn_db_sync_util`), which takes no core plugin
but ML2's own, puts its own drivers in the place of those that are configured, and takes what
Isthmus writes beside Neutron for rubbish. This one runs the same comparison with the plugins of the
site:

* ports that it makes (a metadata port that is gone) get addresses of the site's leases and port
  keys, and are reported to central;
* translations of central's floating IPs and of exits are not Neutron's to compare;
* hypervisors of other sites are no hosts of this one;
* nothing is written unless it is asked to repair, which Neutron's does of hosts in any case.
"""

import argparse
import logging as plain_logging
import sys
from collections.abc import Sequence
from typing import Any

from neutron.cmd.ovn import neutron_ovn_db_sync_util as tool
from neutron.common.ovn import utils as ovn_utils
from neutron.plugins.ml2.drivers.ovn.mech_driver.ovsdb import impl_idl_ovn, ovn_db_sync, worker
from neutron.services.portforwarding import pf_plugin
from neutron_lib import context as n_context
from neutron_lib.ovn import constants as n_ovn_const
from neutron_lib.plugins import directory
from oslo_config import cfg
from oslo_db import exception as db_exc
from oslo_log import log as logging
from typing_extensions import override

from isthmus import errors
from isthmus.model.dataplane.ovn import EXITS_MARK, REMOTE_FLAG
from isthmus.neutron.local.plugin import LocalPlugin
from neutron import manager

LOG = logging.getLogger(__name__)

_MODES = {
    False: n_ovn_const.OVN_DB_SYNC_MODE_LOG,
    True: n_ovn_const.OVN_DB_SYNC_MODE_REPAIR,
}
#: What `[DEFAULT] core_plugin` of a site says.
_OURS = ("isthmus_local", f"{LocalPlugin.__module__}.{LocalPlugin.__name__}")
#: Neutron's mechanism driver for this, which writes and listens to nothing.
_DRIVER = "ovn-sync"
#: The service plugins that the comparison asks; it loads others that it needs itself. Not those of
#: an API process alone, nor `trunk`, which takes no core plugin whose driver is not called `ovn`.
_SERVICES = ("isthmus_local_router", "isthmus_local_qos", "segments")
#: Said where the logger of the comparison warns of what is no difference.
_NO_DIFFERENCE = ("False-positive ACLs to remove: ([])",)


class SitePlugin(LocalPlugin):
    """The site's core plugin in a process that serves nobody."""

    @property
    def _rpc_workers(self) -> int:
        return 0


class _WithoutOurs:
    """The northbound database as Neutron's comparison may see it: without our translations."""

    def __init__(self, api: Any) -> None:
        self._api = api

    def __getattr__(self, name: str) -> Any:
        return getattr(self._api, name)

    def get_all_logical_routers_with_rports(self) -> list[dict[str, Any]]:
        """List Neutron's routers with what hangs on each."""
        routers: list[dict[str, Any]] = self._api.get_all_logical_routers_with_rports()
        ours = {
            (nat.type, nat.external_ip, nat.logical_ip)
            for router in self._api.tables["Logical_Router"].rows.values()
            for nat in router.nat
            if EXITS_MARK in nat.external_ids
        }
        for router in routers:
            for kind in ("snats", "dnat_and_snats"):
                router[kind] = [
                    nat
                    for nat in router[kind]
                    if (nat["type"], nat["external_ip"], nat["logical_ip"]) not in ours
                ]
        return routers


class _OwnHosts:
    """The southbound database as Neutron's comparison may see it: the site's own hypervisors."""

    def __init__(self, api: Any) -> None:
        self._api = api

    def __getattr__(self, name: str) -> Any:
        return getattr(self._api, name)

    def get_chassis_hostname_and_physnets(self) -> dict[str, Any]:
        """Return the physical networks of each hypervisor, by its name."""
        remote = {
            row.hostname
            for row in self._api.tables["Chassis"].rows.values()
            if row.other_config.get(REMOTE_FLAG) == "true"
        }
        found: dict[str, Any] = self._api.get_chassis_hostname_and_physnets()
        return {name: nets for name, nets in found.items() if name not in remote}


class SiteNorthbound(ovn_db_sync.OvnNbSynchronizer):
    """Compares the northbound database, and writes what differs where it is asked to."""

    ovn_nb_api: Any

    def __init__(self, *args: Any, **options: Any) -> None:
        """Take what Neutron's own takes."""
        super().__init__(*args, **options)
        self.ovn_nb_api = _WithoutOurs(self.ovn_nb_api)

    @override
    def sync_acls(self, ctx: Any) -> None:
        """Write the rules of groups, behind the address groups that they name."""
        self.write_address_groups(ctx)
        super().sync_acls(ctx)

    def write_address_groups(self, ctx: Any) -> None:
        """Compare address groups, which Neutron's own comparison leaves out."""
        for group in self.core_plugin.get_address_groups(ctx):
            self._write_address_group(ctx, group)

    def _write_address_group(self, ctx: Any, group: Any) -> None:
        wanted = self._ovn_client._checkout_ip_list(group["addresses"])
        names = {one: ovn_utils.ovn_ag_addrset_name(group["id"], f"ip{one}") for one in wanted}
        api = self.ovn_nb_api
        rows = {one: api.lookup("Address_Set", names[one], default=None) for one in wanted}
        there = {one: None if row is None else set(row.addresses) for one, row in rows.items()}
        if all(there[one] == set(wanted[one]) for one in wanted):
            return
        LOG.warning("Address group %s has other addresses in OVN NB DB", group["id"])
        if self.mode != _MODES[True]:
            return
        self._ovn_client.create_address_group(ctx, group)  # the sets that are not there
        with api.transaction(check_error=True) as txn:
            for one, name in names.items():
                have = there[one]
                if have is not None:
                    txn.add(api.address_set_add_addresses(name, set(wanted[one]) - have))
                    txn.add(api.address_set_remove_addresses(name, have - set(wanted[one])))

    @override
    def sync_port_qos_policies(self, ctx: Any) -> None:
        """Write the limits of ports again; Neutron cannot compare them, and names each port."""
        if self.mode == _MODES[True]:
            super().sync_port_qos_policies(ctx)

    @override
    def sync_fip_qos_policies(self, ctx: Any) -> None:
        """Write the limits of the site's own floating IPs again, as those of ports."""
        if self.mode == _MODES[True]:
            super().sync_fip_qos_policies(ctx)


class SiteSouthbound(ovn_db_sync.OvnSbSynchronizer):
    """Writes into Neutron's database which hypervisors there are; does nothing unasked.

    Which of them have the gateways is left to the Neutron that runs: it follows their coming and
    going.
    """

    ovn_sb_api: Any

    def __init__(self, *args: Any, **options: Any) -> None:
        """Take what Neutron's own takes."""
        super().__init__(*args, **options)
        self.ovn_sb_api = _OwnHosts(self.ovn_sb_api)

    @override
    def do_sync(self) -> None:
        """Write what differs, where it is asked to."""
        if self.mode == _MODES[True]:
            self.sync_hostname_and_physical_networks(n_context.get_admin_context())


class _Found(plain_logging.Handler):
    """Prints what the comparison warns of, and counts it."""

    def __init__(self) -> None:
        super().__init__(plain_logging.WARNING)
        self.count = 0

    @override
    def emit(self, record: plain_logging.LogRecord) -> None:
        message = record.getMessage()
        if message not in _NO_DIFFERENCE:
            self.count += 1
            _say(message)


def main() -> None:
    """Run as a process; ends with 0, or 1 where something differs and is not repaired."""
    sys.exit(run(sys.argv[1:]))


def run(arguments: Sequence[str]) -> int:
    """Compare, say on standard output what differs, and return the exit code."""
    given = _parse(arguments)
    try:
        _configure(given.config_file, given.config_dir, repair=given.repair)
        found = _compare(repair=given.repair)
        return _conclude(found, repair=given.repair)
    except errors.IsthmusError as error:
        return _refuse(error)
    except cfg.Error as error:
        return _refuse(errors.Invalid(str(error)))
    except db_exc.DBError as error:
        return _refuse(errors.Unreachable(f"Neutron's database cannot be used: {error}"))


def _conclude(found: int, *, repair: bool) -> int:
    if repair:
        _say("Neutron's rows are as they should be; isthmus site resync SITE looks at ours now.")
        return 0
    _say("Nothing differs." if not found else "Nothing was written: --repair does that.")
    return int(found > 0)


def _refuse(error: errors.IsthmusError) -> int:
    sys.stderr.write(f"error: {error.message.splitlines()[0]}\n")
    return errors.consequence(error).exit_code


def _say(sentence: str) -> None:
    try:
        sys.stdout.write(f"{sentence}\n")
        sys.stdout.flush()
    except OSError as error:
        sys.stdout = sys.__stderr__  # nothing is tried again at the end
        raise errors.Refused(f"the output cannot be written: {error.strerror}") from error


def _parse(arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="isthmus-ovn-db-sync-util",
        description="Compare what Neutron writes into a site's OVN with its database. Run it where "
        "the site's Neutron runs, as its user. What Isthmus writes beside Neutron is left alone.",
    )
    parser.add_argument(
        "--config-file",
        action="append",
        required=True,
        help="as the site's Neutron is started with; several are read in their order",
    )
    parser.add_argument("--config-dir", action="append", default=[], help="likewise")
    parser.add_argument(
        "--repair", action="store_true", help="write what differs; without it, only say it"
    )
    return parser.parse_args(arguments)


def _configure(files: Sequence[str], folders: Sequence[str], *, repair: bool) -> None:
    """Read the site's configuration, and put in what this process needs otherwise.

    Raises:
        Invalid: it is not that of a site.
    """
    conf = tool.setup_conf()
    words = [f"--config-file={one}" for one in files] + [f"--config-dir={one}" for one in folders]
    conf(args=words, project="neutron")
    logging.setup(conf, "isthmus-ovn-db-sync-util", fix_eventlet=False)
    if not conf.debug:  # where no file is named, the log is on the terminal, around what is said
        plain_logging.getLogger().setLevel(plain_logging.WARNING)
        plain_logging.getLogger("stevedore.named").setLevel(plain_logging.ERROR)
    if conf.core_plugin not in _OURS:
        raise errors.Invalid(
            f"core_plugin is {conf.core_plugin!r}, which is no site's of Isthmus: for a Neutron "
            "with ml2 take the tool that comes with Neutron"
        )
    conf.set_override("neutron_sync_mode", _MODES[repair], "ovn")
    conf.set_override("core_plugin", f"{__name__}.{SitePlugin.__name__}")
    others = [one for one in conf.ml2.mechanism_drivers if one != "ovn"]
    conf.set_override("mechanism_drivers", [_DRIVER, *others], "ml2")
    conf.set_override("service_plugins", list(_SERVICES))


def _compare(*, repair: bool) -> int:
    """Compare the databases, and return how much differed.

    Raises:
        Unreachable: a database of OVN does not answer.
    """
    found = _Found()
    # It is loaded by the comparison, and decides by the names of plugins whether agents listen.
    pf_plugin.PortForwardingPlugin._rpc_notifications_required = False
    try:
        northbound = impl_idl_ovn.OvsdbNbOvnIdl.from_worker(worker.MaintenanceWorker)
        southbound = impl_idl_ovn.OvsdbSbOvnIdl.from_worker(worker.MaintenanceWorker)
    except Exception as error:
        raise errors.Unreachable(f"a database of OVN does not answer: {error}") from error
    manager.init()
    core = directory.get_plugin()
    core.advance_witness()  # before a port is made: its address may be another site's by now
    driver = core.mechanism_manager.mech_drivers[_DRIVER]
    core.mechanism_manager.mech_drivers["ovn"] = driver  # where the router plugin looks for it
    driver.obj.nb_ovn, driver.obj.sb_ovn = northbound, southbound
    driver.obj._post_fork_event.set()
    loggers = [plain_logging.getLogger(one) for one in (ovn_db_sync.__name__, __name__)]
    for one in loggers:
        one.addHandler(found)
    try:
        for kind in (SiteNorthbound, SiteSouthbound):
            kind(core, driver.obj, _MODES[repair]).do_sync()
    finally:
        for one in loggers:
            one.removeHandler(found)
    return found.count
