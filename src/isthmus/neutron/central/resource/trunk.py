"""Trunks at central: each goes where its parent port is at home."""

import sqlalchemy as sa
from neutron.services.trunk import models

from isthmus.model.intent import IntentKey
from isthmus.model.resource import ResourceType
from isthmus.model.site import SiteName
from isthmus.neutron.api import carried as fate
from isthmus.neutron.central.outgoing.change import Changes, Part, Written
from isthmus.neutron.central.resource.row import CentralResource, States
from isthmus.neutron.central.trunk import gather
from isthmus.store.tiers.locked import LockedObjects

_TRUNK = ResourceType.TRUNK
#: What says nothing to sites.
_SHOWN = frozenset({"status"})


def _touch(changes: Changes, row: Written) -> None:
    trunk = row.entity
    if row.deleted:
        changes.gone.setdefault(_TRUNK, set()).add(trunk.id)
    if row.new:
        changes.new.setdefault(_TRUNK, set()).add(trunk.id)
        changes.grown.add(trunk.id)
    if row.new or row.deleted or row.changed() - _SHOWN:
        changes.touch(_TRUNK, trunk.id)


def _touch_subport(changes: Changes, row: Written) -> None:
    if row.new and row.entity.trunk_id:
        changes.grown.add(row.entity.trunk_id)


def _tell(connection: sa.Connection, changes: Changes) -> set[IntentKey]:
    """Gather the ports of trunks that are new or have new subports, and return whom to tell."""
    keys = gather.gather(connection, changes.grown - changes.get_gone(_TRUNK))
    changed = changes.get_changed(_TRUNK)
    locked = LockedObjects(connection, _TRUNK, changed)
    return keys | {IntentKey(site, _TRUNK, one) for one in changed for site in locked.sites(one)}


def _complete(site: SiteName, states: States) -> States:
    """Give subports that another site has released their new home; what is said stays the same."""
    gather.bring_released(site, states)
    return states


TRUNK = CentralResource(
    kind=_TRUNK,
    model=models.Trunk,
    parts={models.SubPort: Part("trunk_id")},
    touched_by={models.Trunk: _touch, models.SubPort: _touch_subport},
    attributes={
        "trunks": {
            **fate.STANDARD,
            "name": fate.CARRIED,
            "port_id": fate.CARRIED,
            "admin_state_up": fate.CARRIED,
            "sub_ports": fate.CARRIED,
            "status": fate.own("each tier's own"),
        },
    },
    tell=_tell,
    tells_of=(_TRUNK,),
    complete=_complete,
)
