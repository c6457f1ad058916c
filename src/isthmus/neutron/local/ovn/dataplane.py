"""What the rest of a site's Neutron needs of its data plane.

The data plane in turn requires three things. A network's row in `isthmus_datapaths` and its lease
of port keys exist *before* the network is created, because the metadata port is created with the
network. A port that is created when no key is left fails with `MechanismDriverError`; its
`inner_exceptions` hold an `Exhausted` whose fields name kind and pool. And
`LocalMechanismDriver.when_keys_run_low` gets a callback that requests the next block.
"""

import functools
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

from neutron_lib import context as n_context
from neutron_lib.plugins import directory
from oslo_config import cfg

from isthmus import errors
from isthmus.clients.ovsdb import ovn_connection
from isthmus.clients.ovsdb.database import Database
from isthmus.config.site import read_site
from isthmus.dataplane import holdings
from isthmus.dataplane.reconcile import Callbacks, Events, Reconciler
from isthmus.dataplane.row_kind import Observed
from isthmus.dataplane.rows import OvnRows
from isthmus.federation.rewrite import plan_rewrites
from isthmus.neutron.db.session import reading, writing
from isthmus.neutron.db.witness import find as find_witness
from isthmus.neutron.local.ovn import desired_rows, rewriter
from isthmus.store.ports import shadow

_LOG = logging.getLogger(__name__)

_DRIVER = "isthmus_local"


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


def collect() -> dict[str, Any]:
    """Return the part "ovn" of this site's holdings, as `isthmus.dataplane.holdings` defines it.

    Raises:
        Unreachable: this process has no connection to OVN.
    """
    return holdings.collect(get_reconciler().rows(), desired_rows.NeutronTables())


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
    witness = find_witness(Path(cfg.CONF.state_path), read_site(cfg.CONF).site)
    witness.advance(lambda: writing(n_context.get_admin_context()))


def _have_written_again(known: rewriter.Known, observed: Observed) -> None:
    """Have Neutron rewrite its own rows that OVN lost, or has in an outdated form."""
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
