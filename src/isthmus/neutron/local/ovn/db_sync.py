"""`isthmus-ovn-db-sync-util`: Neutron's rows in a site's OVN, compared with Neutron's database.

Neutron has a tool for that (`neutron.cmd.ovn.neutron_ovn_db_sync_util`), which takes no core plugin
but ML2's own, puts its own drivers in the place of those that are configured, and takes what
Isthmus writes beside Neutron for rubbish. This one runs the same comparison with the plugins of the
site:

* ports that it makes (a metadata port that is gone) get addresses of the site's leases and port
  keys, and are reported to central;
* translations of central's floating IPs and of exits are not Neutron's to compare;
* hypervisors of other sites are no hosts of this one;
* nothing is written unless it is asked to repair, which Neutron's does of hosts in any case;
* Neutron may go on meanwhile: what it makes or removes just then stays as it is.

How the rows are compared is in `isthmus.neutron.local.ovn.compare`.
"""

import argparse
import contextlib
import logging as plain_logging
import sys
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeoutError
from typing import Any

from neutron.cmd.ovn import neutron_ovn_db_sync_util as tool
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
from isthmus.clients.ovsdb.ovn_write import is_away, is_timeout
from isthmus.neutron.api.faults import from_any
from isthmus.neutron.db.session import reading
from isthmus.neutron.local.ovn.compare import comparison
from isthmus.neutron.local.plugin import LocalPlugin
from isthmus.store.tiers import epoch
from neutron import manager

LOG = logging.getLogger(__name__)

_MODES = {
    False: n_ovn_const.OVN_DB_SYNC_MODE_LOG,
    True: comparison.REPAIR,
}
#: What `[DEFAULT] core_plugin` of a site says.
_OURS = ("isthmus_local", f"{LocalPlugin.__module__}.{LocalPlugin.__name__}")
#: Neutron's mechanism driver for this, which writes and listens to nothing.
_DRIVER = "ovn-sync"
#: The service plugins that the comparison asks; it loads others that it needs itself. Not those of
#: an API process alone, nor `trunk`, which takes no core plugin whose driver is not called `ovn`.
_SERVICES = ("isthmus_local_router", "isthmus_local_qos", "segments")
#: What the logger of the comparison warns of though it is no difference. Of a network that was made
#: while it reads it knows the subnet alone; the Neutron that made both has written both.
_NO_DIFFERENCE = ("False-positive ACLs to remove: ([])", "possible race condition")
#: How long the first answer of a database may take, in seconds.
_ANSWER_S = 30.0
#: What it says of what it could not write; it goes on with the rest.
_FAILURES = (" failed", "No more IP addresses", "Could not allocate")


class SitePlugin(LocalPlugin):
    """The site's core plugin in a process that serves nobody."""

    @property
    def _rpc_workers(self) -> int:
        return 0


class _Found(plain_logging.Handler):
    """Prints what the comparison warns of, and counts it and what it could not write."""

    def __init__(self) -> None:
        super().__init__(plain_logging.WARNING)
        self.count = 0
        self.failed = 0
        self.left = 0

    @override
    def emit(self, record: plain_logging.LogRecord) -> None:
        message = record.getMessage()
        if not any(one in message for one in _NO_DIFFERENCE):
            self.count += 1
            self.failed += any(one in message for one in _FAILURES)
            self.left += record.msg == comparison.LEFT
            _say(message)


def main() -> None:
    """Run as a process; ends with 0, or 1 where something differs and is not repaired."""
    sys.exit(run(sys.argv[1:]))


def run(arguments: Sequence[str]) -> int:
    """Compare, say on standard output what differs, and return the exit code."""
    given = _parse(arguments)
    try:
        with _translated():
            _configure(given.config_file, given.config_dir, repair=given.repair)
            found = _compare(repair=given.repair)
            return _conclude(found, repair=given.repair)
    except errors.IsthmusError as error:
        return _refuse(error)
    except KeyboardInterrupt:
        return errors.EXIT_INTERRUPTED


@contextlib.contextmanager
def _translated() -> Iterator[None]:
    """Have what fails raise an error of ours: as any other it would end with 1, a difference."""
    try:
        yield
    except errors.IsthmusError:
        raise
    except cfg.Error as error:
        raise errors.Invalid(str(error)) from error
    except db_exc.DBError as error:
        raise errors.Unreachable(f"Neutron's database cannot be used: {error}") from error
    except Exception as error:  # the boundary of the command
        if is_timeout(error):
            raise errors.TimedOut(f"a database of OVN gave no answer in time: {error}") from error
        if is_away(error):
            raise errors.Unreachable(f"a database of OVN does not answer: {error}") from error
        LOG.exception("The comparison failed")
        raise from_any(error) from error


def _conclude(found: _Found, *, repair: bool) -> int:
    if repair:
        if found.failed:
            _say("Not everything could be written: the lines above say what. Run it again.")
            return 1
        if found.left:
            _say("All else is as it should be: the lines above say which ports are left, and why.")
            return 1
        _say("Neutron's rows are as they should be; isthmus site resync SITE looks at ours now.")
        return 0
    _say("Nothing was written: --repair does that." if found.count else "Nothing differs.")
    return int(found.count > 0)


def _refuse(error: errors.IsthmusError) -> int:
    said = (error.message.splitlines() or [type(error).__name__])[0]
    sys.stderr.write(f"error: {said}\n")
    foreseen = isinstance(error, errors.Refused | errors.Transient)
    return errors.consequence(error).exit_code if foreseen else errors.EXIT_BUG


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


def _require_answer(api: Any) -> None:
    """See that a database answers: one that hangs is waited for without an end.

    Raises:
        TimedOut: it does not.
        Exception: ovsdbapp cannot connect to it.
    """
    answer: Future[Any] = Future()

    def ask() -> None:
        try:
            answer.set_result(api.schema_helper)
        except Exception as error:  # noqa: BLE001  (raised where it is waited for)
            answer.set_exception(error)

    threading.Thread(target=ask, daemon=True).start()
    try:
        answer.result(_ANSWER_S)
    except FutureTimeoutError as error:
        raise errors.TimedOut(
            f"{api.connection_string} gave no answer in {_ANSWER_S:g} seconds: that database of "
            "OVN hangs"
        ) from error


def _require_recovered() -> None:
    """Refuse to repair by a database that has forgotten what OVN has.

    Raises:
        Busy: it was restored, and central has yet to send what it forgot.
    """
    with reading(n_context.get_admin_context()) as connection:
        own = epoch.peek(connection)
    if own is not None and not own.recovered:
        raise errors.Busy(
            f"the site's database has forgotten what OVN may have still ({own.reason}): nothing is "
            "repaired before the site has registered, and isthmus status says what it waits for"
        )


def _compare(*, repair: bool) -> _Found:
    """Compare the databases, and return what differed.

    Raises:
        Unreachable: a database of OVN does not answer.
        TimedOut: one hangs.
        Busy: nothing can be repaired now.
    """
    found = _Found()
    # It is loaded by the comparison, and decides by the names of plugins whether agents listen.
    pf_plugin.PortForwardingPlugin._rpc_notifications_required = False
    for api in (impl_idl_ovn.OvsdbNbOvnIdl, impl_idl_ovn.OvsdbSbOvnIdl):
        _require_answer(api)
    try:
        northbound = impl_idl_ovn.OvsdbNbOvnIdl.from_worker(worker.MaintenanceWorker)
        southbound = impl_idl_ovn.OvsdbSbOvnIdl.from_worker(worker.MaintenanceWorker)
    except impl_idl_ovn.OvsdbConnectionUnavailable as error:
        raise errors.Unreachable(f"a database of OVN does not answer: {error}") from error
    manager.init()
    core = directory.get_plugin()
    core.advance_witness()  # before a port is made: its address may be another site's by now
    if repair:
        _require_recovered()
    driver = core.mechanism_manager.mech_drivers[_DRIVER]
    core.mechanism_manager.mech_drivers["ovn"] = driver  # where the router plugin looks for it
    driver.obj.nb_ovn, driver.obj.sb_ovn = northbound, southbound
    driver.obj._post_fork_event.set()
    loggers = [plain_logging.getLogger(one) for one in (ovn_db_sync.__name__, comparison.__name__)]
    for one in loggers:
        one.addHandler(found)
    try:
        for kind in (comparison.NorthboundComparison, comparison.SouthboundComparison):
            kind(core, driver.obj, _MODES[repair]).do_sync()
    finally:
        for one in loggers:
            one.removeHandler(found)
    return found
