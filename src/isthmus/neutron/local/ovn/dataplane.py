"""What the rest of a site's Neutron asks of its data plane.

The other way round, the data plane asks three things of it. A network's row in `isthmus_datapaths`
and its lease of port keys are there *before* the network is made, because the metadata port is made
with the network. A port that is created when no key is left fails with `MechanismDriverError`; its
`inner_exceptions` hold an `Exhausted` whose fields name kind and pool. And
`LocalMechanismDriver.when_keys_run_low` is given a callback that fetches the next block.
"""

import functools
import logging
from collections.abc import Callable
from typing import Any

from neutron_lib import context as n_context
from neutron_lib.plugins import directory

from isthmus import errors
from isthmus.clients.ovsdb import ovn_connection
from isthmus.clients.ovsdb.database import Database
from isthmus.dataplane import holdings
from isthmus.dataplane.reconcile import Callbacks, Events, Reconciler
from isthmus.dataplane.row_kind import Observed
from isthmus.dataplane.rows import OvnRows
from isthmus.federation.rewrite import plan_rewrites
from isthmus.neutron.db.session import reading, writing
from isthmus.neutron.local.ovn import desired_rows, rewriter
from isthmus.store.ports import shadow

_LOG = logging.getLogger(__name__)

_DRIVER = "isthmus_local"


def get_driver() -> Any:
    """Give this process's mechanism driver."""
    return directory.get_plugin().mechanism_manager.mech_drivers[_DRIVER].obj


def get_reconciler() -> Reconciler:
    """Give the thread that keeps OVN's rows.

    Raises:
        Unreachable: this process has none: it is no API process, or has not finished starting.
    """
    found: Reconciler | None = get_driver().reconciler
    if found is None:
        raise errors.Unreachable("this process has no connection to OVN yet")
    return found


def collect() -> dict[str, Any]:
    """Give the part "ovn" of this site's holdings, as `isthmus.dataplane.holdings` has it.

    Raises:
        Unreachable: this process has no connection to OVN.
    """
    return holdings.collect(get_reconciler().rows(), desired_rows.NeutronTables())


def collect_shadows(context: Any) -> list[dict[str, Any]]:
    """Give the part "shadows" of the holdings: the site's table."""
    with reading(context) as connection:
        return [one.to_dict() for one in shadow.list_shadows(connection)]


def make_reconciler(
    sweep_s: float, keys_low: Callable[[str], None], moved: Callable[[str], None]
) -> Reconciler:
    """Make the thread that keeps OVN's rows, on the connections of Neutron's OVN driver.

    Args:
        sweep_s: how often to look at everything, in seconds.
        keys_low: is told of a network whose port keys run low.
        moved: is told of a trunk's subport that OVN has bound elsewhere.
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
    )


def _connect(events: Events) -> OvnRows:
    """Use the connections of Neutron's OVN driver in this process; waits until they are there."""
    driver = directory.get_plugin().mechanism_manager.mech_drivers["ovn"].obj
    nb, sb = Database(driver.nb_ovn), Database(driver.sb_ovn)
    ovn_connection.watch(
        nb,
        sb,
        unbound=events.unbound,
        made=events.made,
        moved=events.moved,
    )
    return OvnRows(nb, sb)


def _have_written_again(known: rewriter.Known, observed: Observed) -> None:
    """Have Neutron write what OVN lost, or has of another time, of what Neutron itself writes."""
    with reading(n_context.get_admin_context()) as connection:
        prints = rewriter.read_prints(connection, observed)
        changed = known.find_changed(prints)
        rewrites = plan_rewrites(rewriter.list_written(connection, observed, changed))
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
