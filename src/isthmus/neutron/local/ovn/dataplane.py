"""What the rest of a site's Neutron needs of its data plane.

The data plane in turn requires three things. A network's row in `isthmus_datapaths` and its lease
of port keys exist *before* the network is created, because the metadata port is created with the
network. A port that is created when no key is left fails with `MechanismDriverError`; its
`inner_exceptions` hold an `Exhausted` whose fields name kind and pool. And
`LocalMechanismDriver.when_keys_run_low` gets a callback that requests the next block.
"""

import functools
import logging
from collections.abc import Callable, Collection
from typing import Any

from neutron.conf.plugins.ml2.drivers.ovn import ovn_conf
from neutron_lib import context as n_context
from neutron_lib.plugins import directory

from isthmus import errors
from isthmus.clients.ovsdb import ovn_connection
from isthmus.clients.ovsdb.database import Database
from isthmus.dataplane import holdings, protocols
from isthmus.dataplane.alive.answer import Answerer
from isthmus.dataplane.alive.pulse import Pulse
from isthmus.dataplane.reconcile import Callbacks, Events, Reconciler
from isthmus.dataplane.row_kind import Observed
from isthmus.dataplane.rows import OvnRows
from isthmus.federation.lost_rules import Losses, confirm_lost
from isthmus.federation.rewrite import plan_rewrites
from isthmus.neutron.db.session import reading, writing
from isthmus.neutron.local.lease import sight
from isthmus.neutron.local.ovn import acls, desired_rows, dhcp, lost, rewriter
from isthmus.neutron.local.ovn.compare import lost_rows
from isthmus.store.ports import shadow

_LOG = logging.getLogger(__name__)

_DRIVER = "isthmus_local"
#: How long a question to OVN may take to be written, in seconds, before it is asked anew.
_PULSE_TIMEOUT_S = 20.0


def get_driver() -> Any:
    """Return this process's mechanism driver."""
    return directory.get_plugin().mechanism_manager.mech_drivers[_DRIVER].obj


def get_reconciler() -> Reconciler:
    """Return the thread that reconciles OVN's rows.

    Raises:
        Unreachable: this process has none: it is not an API process, or has not finished starting.
    """
    found: Reconciler | None = get_driver().reconciler
    if found is None:
        raise errors.Unreachable("this process has no connection to OVN yet")
    return found


def collect(part: holdings.Part | None = None) -> dict[str, Any]:
    """Return the part "ovn" of this site's holdings, as `isthmus.dataplane.holdings` defines it.

    Args:
        part: the networks of which one wants to know; None: all.

    Returns:
        Only `unseen`, why, while a database does not answer: what is in memory is of before then,
        and cannot be read while somebody waits for the database.

    Raises:
        Unreachable: this process has no connection to OVN.
    """
    pulse: Pulse | None = get_driver().pulse
    away = pulse.find_away() if pulse is not None else ""
    if away:
        return {"unseen": f"the {away} database of OVN does not answer"}
    rows = get_reconciler().rows()
    found = holdings.collect(rows, desired_rows.NeutronTables(), part)
    return found | confirm_lost(lambda: _list_lost(rows.nb, part.networks if part else ()))


def _list_lost(nb: protocols.Database, networks: Collection[str]) -> Losses:
    """List what OVN lost, by the parts of the holdings that say so."""
    with reading(n_context.get_admin_context()) as connection:
        return {
            "lost_rules": acls.list_lost(connection, nb, networks),
            "lost_addresses": lost.list_lost_addresses(connection, nb, networks),
            "lost": lost_rows.list_lost(connection, nb, networks),
            "lost_snats": lost.list_lost_snats(connection, nb, networks),
        }


def report_pulse() -> dict[str, Any]:
    """Return the part "pulse" of the holdings, as `isthmus.dataplane.alive.pulse` defines it.

    Nothing where this process asks nobody.
    """
    found: Pulse | None = get_driver().pulse
    return {} if found is None else found.report()


def collect_shadows(context: Any) -> list[dict[str, Any]]:
    """Return the part "shadows" of the holdings: the site's table."""
    with reading(context) as connection:
        return [one.to_dict() for one in shadow.list_shadows(connection)]


def make_reconciler(
    sweep_s: float, keys_low: Callable[[str], None], moved: Callable[[str], None]
) -> Reconciler:
    """Create the thread that reconciles OVN's rows, on the connections of Neutron's OVN driver.

    Args:
        sweep_s: seconds between full comparisons.
        keys_low: called with a network whose port keys run low.
        moved: called with a trunk's subport that OVN has bound elsewhere.
    """
    return Reconciler(
        _connect,
        desired_rows.NeutronTables(),
        sweep_s,
        Callbacks(
            keys_low=keys_low,
            moved=moved,
            swept=functools.partial(_have_written_again, rewriter.Known()),
        ),
        look=_look,
    )


def make_pulse(every_s: float) -> Pulse:
    """Create the threads that ask OVN whether it lives.

    On connections of their own, which read no more than that. While a transaction waits for a
    database that hangs, nobody else can read what its connection has in memory.

    Args:
        every_s: how often, in seconds.
    """
    return Pulse(_open, every_s)


def _open() -> OvnRows:
    """Open the databases that Neutron's OVN driver is configured with."""
    nb, sb = ovn_connection.connect(
        ovn_conf.get_ovn_nb_connection(),
        ovn_conf.get_ovn_sb_connection(),
        timeout_s=_PULSE_TIMEOUT_S,
        signs_of_life=True,
    )
    return OvnRows(nb, sb)


def make_answerer() -> Answerer:
    """Create the thread by which Neutron's maintenance worker tells that it lives.

    On the connection with which it works, and which has its lock.
    """

    def connect() -> tuple[Database, Callable[[], bool]]:
        nb = directory.get_plugin().mechanism_manager.mech_drivers["ovn"].obj.nb_ovn
        return Database(nb), lambda: bool(nb.idl.has_lock)

    return Answerer(connect)


def _connect(events: Events) -> OvnRows:
    """Return the connections of Neutron's OVN driver in this process; wait until they exist."""
    driver = directory.get_plugin().mechanism_manager.mech_drivers["ovn"].obj
    nb, sb = Database(driver.nb_ovn), Database(driver.sb_ovn)
    ovn_connection.watch(
        nb,
        sb,
        unbound=events.unbound,
        made=events.made,
        moved=events.moved,
        exits=events.exits,
    )
    return OvnRows(nb, sb)


def _look() -> None:
    """Advance the witness, so that a database that was put back is known for that.

    Not the core plugin's: this runs under a plain ML2 too.
    """
    sight.get_witness().advance(lambda: writing(n_context.get_admin_context()))


def _have_written_again(known: rewriter.Known, observed: Observed) -> None:
    """Have Neutron rewrite its own rows that OVN lost, or has in an outdated form."""
    with reading(n_context.get_admin_context()) as connection:
        prints = rewriter.read_prints(connection, observed)
        changed = known.find_changed(prints)
        nb = get_reconciler().rows().nb
        rules = acls.read_print(connection, nb)
        lost = acls.list_lost(connection, nb) if rules != known.rules else []
        known.rules = () if lost else rules
        answered = dhcp.read_answered(nb)
        written = rewriter.list_written(connection, observed, changed, answered)
        written += rewriter.list_rules(connection, {one["id"] for one in lost})
        rewrites = plan_rewrites(written)
        known.record(prints, rewriter.list_networks_of(connection, rewrites))
    if not rewrites:
        return
    _LOG.warning(
        "OVN is of another time than Neutron's database: Neutron's maintenance worker is to write "
        "%d objects again",
        len(rewrites.forget) + len(rewrites.lift),
    )
    with writing(n_context.get_admin_context()) as connection:
        rewriter.apply(connection, rewrites)
