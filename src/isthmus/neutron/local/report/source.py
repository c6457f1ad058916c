"""What the relay reports to central: ports as they are now, and where they are bound."""

from collections.abc import Mapping, Sequence
from typing import Any

from neutron_lib import context as n_context
from neutron_lib.db import api as db_api
from oslo_db import exception as db_exc

from isthmus import errors
from isthmus.model import attribute
from isthmus.model.intent import IntentKey
from isthmus.model.item import Item
from isthmus.model.resource import ResourceType
from isthmus.model.site import SiteName
from isthmus.neutron.local.report.location import Locator
from isthmus.neutron.local.resource import port as port_form
from isthmus.store.local import mapping
from isthmus.store.ports import port_key

#: Attributes of Neutron's that mean nothing outside this server.
_INTERNAL = frozenset({"standard_attr_id", "tenant_id", "network"})


class PortSource:
    """`isthmus.journal.protocols.Source` on this process's core plugin."""

    def __init__(self, core: Any, locator: Locator) -> None:
        """Initialise.

        Args:
            core: the core plugin.
            locator: finds hypervisors.
        """
        self._core = core
        self._locator = locator

    def read(self, lane: SiteName, keys: Sequence[IntentKey]) -> Mapping[IntentKey, Item]:
        """Read ports, each with what both tiers had agreed on before it was read.

        In this order, in transactions of their own. An older base of a newer port is harmless: what
        central sent since counts as a change of both tiers, and is the same. A newer base of an
        older port would make the site's old values a change that undoes central's.

        Raises:
            Transient: the database or OVN does not answer.
        """
        context = n_context.get_admin_context()
        ids = [key.id for key in keys if key.type is ResourceType.PORT]
        try:
            with db_api.CONTEXT_READER.using(context):
                bases = mapping.find_bases(context.session.connection(), ids)
            ports = {one["id"]: one for one in self._core.get_ports(context, {"id": ids})}
            port_form.mark_auto_subnets(self._core, context, list(ports.values()))
            with db_api.CONTEXT_READER.using(context):
                port_keys = port_key.find_keys(context.session.connection(), ids)
        except db_exc.DBError as error:
            raise errors.Busy(f"the site's database cannot be read now: {error}") from error
        items = {}
        for key in keys:
            port = ports.get(key.id)
            state = None
            if port is not None:
                state = _plain({name: port[name] for name in port if name not in _INTERNAL})
                state[attribute.BASE] = bases.get(key.id)
                state[attribute.LOCATION] = self._locator.locate(port, port_keys.get(key.id))
            items[key] = Item(key.type, key.id, state)
        return items


def _plain(value: Any) -> Any:
    """Convert what Neutron's objects leave in a dictionary (addresses, times) into JSON."""
    if isinstance(value, Mapping):
        return {str(name): _plain(one) for name, one in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_plain(one) for one in value]
    if value is None or isinstance(value, bool | int | float | str):
        return value
    return str(value)
