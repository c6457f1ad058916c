"""ML2 that recalls idle addresses from sites before it refuses a request."""

import time
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

from neutron.plugins.ml2 import plugin as ml2
from neutron_lib import exceptions as n_exc
from neutron_lib.db import api as db_api
from oslo_config import cfg

from isthmus.config.central import read_central
from isthmus.model.lease import Block
from isthmus.neutron.central import reporting
from isthmus.neutron.central.leases import recall

_T = TypeVar("_T")


class Recalling(ml2.Ml2Plugin):
    """ML2 at central: requests for addresses that lie in sites' blocks."""

    def create_port(self, context: Any, port: Any) -> Any:
        """Create a port, recalling a requested address that lies in a site's block."""
        return self._with_recall(
            context,
            [port["port"]],
            lambda: super(Recalling, self).create_port(context, {"port": _copied(port["port"])}),
        )

    def create_port_bulk(self, context: Any, ports: Any) -> Any:
        """Create ports, recalling requested addresses that lie in sites' blocks."""
        wanted = [one["port"] for one in ports["ports"]]
        return self._with_recall(
            context,
            wanted,
            lambda: super(Recalling, self).create_port_bulk(
                context, {"ports": [{"port": _copied(one)} for one in wanted]}
            ),
        )

    def update_port(self, context: Any, id: str, port: Any) -> Any:
        """Update a port, recalling a requested address that lies in a site's block."""
        wanted = port["port"]
        if not isinstance(wanted.get("fixed_ips"), list) or _is_inside(context):
            return super().update_port(context, id, port)
        before = self.get_port(context, id, fields=["network_id", "fixed_ips"])
        new = recall.without_present(wanted["fixed_ips"], before["fixed_ips"])
        return self._with_recall(
            context,
            [{**wanted, "network_id": before["network_id"], "fixed_ips": new}],
            lambda: super(Recalling, self).update_port(context, id, {"port": _copied(wanted)}),
        )

    def update_subnet(self, context: Any, id: str, subnet: Any) -> Any:
        """Update a subnet, recalling the blocks that the new allocation pools would cut."""
        pools = subnet["subnet"].get("allocation_pools")
        if isinstance(pools, list) and not _is_inside(context):
            self.get_subnet(context, id, fields=["id"])
            cut = recall.list_cut(id, pools)
            if cut and recall.ask(id, cut):
                recall.wait([id], read_central(cfg.CONF).recall_wait_s)
        return super().update_subnet(context, id, subnet)

    def _with_recall(self, context: Any, ports: Iterable[Any], work: Callable[[], _T]) -> _T:
        if _is_inside(context):
            return work()
        deadline = time.monotonic() + read_central(cfg.CONF).recall_wait_s  # for the whole call
        wanted = list(ports)
        named: dict[str, list[Block]] = {}
        for port in wanted:
            for subnet_id, parts in recall.list_named(port, port["network_id"]).items():
                named.setdefault(subnet_id, []).extend(parts)
        asked = [one for one, parts in sorted(named.items()) if recall.ask(one, parts)]
        recall.wait(asked, deadline - time.monotonic())
        try:
            return work()
        except n_exc.IpAddressGenerationFailure:
            subnets = {
                subnet_id
                for network_id in {port["network_id"] for port in wanted}
                for subnet_id in recall.list_pools(network_id)
            }
            asked = [subnet_id for subnet_id in sorted(subnets) if recall.ask_idle(subnet_id)]
            if not asked:
                raise
            recall.wait(asked, deadline - time.monotonic())
        return work()


def _is_inside(context: Any) -> bool:
    """Return whether this is not an API request, or a transaction is open already."""
    on_its_own = reporting.current() is not None or reporting.is_correcting()
    return on_its_own or db_api.is_session_active(context.session)


def _copied(port: Any) -> Any:
    """Copy a request, because Neutron modifies it and it may have to be repeated."""
    copy = dict(port)
    if isinstance(copy.get("fixed_ips"), list):
        copy["fixed_ips"] = [dict(one) for one in copy["fixed_ips"]]
    return copy
