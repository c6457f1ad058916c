"""What the holdings of both tiers have in common, so that an audit can compare them."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import sqlalchemy as sa
from neutron.db import models_v2
from neutron.db import rbac_db_models as rbac
from neutron.db.models import securitygroup
from neutron.db.qos import models as qos
from neutron.services.trunk import models as trunk
from neutron_lib import constants
from neutron_lib import context as n_context
from neutron_lib.plugins import directory
from oslo_db import exception as db_exc

from isthmus import errors
from isthmus.federation.digest import pick_limit
from isthmus.model.resource import RESOURCES, Resource
from isthmus.neutron.api import listing
from isthmus.neutron.api.faults import from_any, translated
from isthmus.neutron.db.session import reading
from isthmus.neutron.db.witness import Witness
from isthmus.store.delivery import job as job_store
from isthmus.store.leases import lease
from isthmus.store.ports import datapath
from isthmus.store.tiers import epoch, mapping

_PORTS = models_v2.Port.__table__
_BINDINGS = securitygroup.SecurityGroupPortBinding.__table__
_RULES = securitygroup.SecurityGroupRule.__table__
_TRUNKS = trunk.Trunk.__table__
_SUBPORTS = trunk.SubPort.__table__
_OF_PORT = qos.QosPortPolicyBinding.__table__
_OF_NETWORK = qos.QosNetworkPolicyBinding.__table__

#: Reads one part of a tier's holdings, of these networks only; of all where the list is empty.
Part = Callable[[list[str]], Any]

#: What is made here of what Neutron shows under other names.
_MADE = frozenset({"sharing", "rules", "rule_texts"})
#: Owners of the ports of routers.
_OF_ROUTERS = [*constants.ROUTER_INTERFACE_OWNERS, constants.DEVICE_OWNER_ROUTER_GW]
#: What a rule of a security group lets through.
_RULE = (
    "id",
    "direction",
    "ethertype",
    "protocol",
    "port_range_min",
    "port_range_max",
    "remote_ip_prefix",
    "remote_group_id",
    "remote_address_group_id",
)


def collect(
    tier: str, name: str, parts: Mapping[str, Part], filters: Any, fields: Any
) -> list[listing.Row]:
    """Read the holdings of a tier, as a list of the API.

    Args:
        tier: `central` or `local`.
        name: of central or the site; it is their id.
        parts: how each part is read, in the order in which they are shown.
        filters: `network_id` filters them.
        fields: the parts to read; None for all.
    """
    networks = list((filters or {}).get("network_id") or [])
    wanted = set(fields or parts) & set(parts)
    with translated():
        row: dict[str, Any] = {"id": name, "tier": tier}
        try:
            row |= {part: read(networks) for part, read in parts.items() if part in wanted}
        except db_exc.DBError as error:  # the audit shows why, and asks again
            raise from_any(error) from error
        if networks:
            row["network_id"] = networks[0]
    return listing.to_rows([row], fields)


def require_own(asked: str | None, name: str) -> None:
    """Refuse to show the holdings under another id than the tier's, before they are read.

    Raises:
        NotFound: it is another, or none.
    """
    if asked != name:
        raise errors.NotFound(f"there are no holdings {asked}")


def read_objects(
    resource: Resource,
    add: Callable[[sa.Connection, dict[str, dict[str, Any]]], None] | None = None,
) -> Part:
    """Return a function that reads the objects of one type, as the audit compares them.

    Args:
        resource: the type.
        add: adds to states, by id, what Neutron does not show.
    """
    names = dict.fromkeys(("id", *resource.compared, *resource.shown))

    def read(networks: list[str]) -> Any:
        plugin = directory.get_plugin(resource.plugin)
        if plugin is None:  # this tier does not load it
            return []
        lister = getattr(plugin, f"get_{resource.collection}")
        filters = {resource.network: networks} if networks and resource.network else {}
        states = lister(n_context.get_admin_context(), filters, **resource.list_options)
        shared = _read_sharing(resource) if "sharing" in names else {}
        if add is not None:
            with reading(n_context.get_admin_context()) as connection:
                add(connection, {one["id"]: one for one in states})
        return [
            {name: _show(name, state, shared) for name in names if _is_known(name, state)}
            for state in states
        ]

    return read


def _is_known(name: str, state: Mapping[str, Any]) -> bool:
    """Return whether this tier can say it: nobody compares what another one does not know."""
    return name in state or name in _MADE


def _show(name: str, state: Mapping[str, Any], shared: Mapping[str, Sequence[str]]) -> Any:
    if name == "sharing":
        return sorted(shared.get(state["id"], ()))
    if name == "rules" and "security_group_rules" in state:
        return sorted(rule["id"] for rule in state["security_group_rules"])
    if name == "rule_texts":
        return sorted(_show_rule(rule) for rule in state["security_group_rules"])
    if name == "rules":
        return sorted(_show_limit(rule) for rule in state["rules"])
    if name == "sub_ports":
        return sorted(_show_subport(one) for one in state["sub_ports"])
    return state.get(name)


def _show_subport(subport: Mapping[str, Any]) -> str:
    words = ("segmentation_type", "segmentation_id", "port_id")
    return " ".join(str(subport[word]) for word in words)


def _show_rule(rule: Mapping[str, Any]) -> str:
    return " ".join(str(rule.get(word)) for word in _RULE)


def _show_limit(rule: Mapping[str, Any]) -> str:
    return " ".join(str(value) for value in pick_limit(rule).values())


def _read_sharing(resource: Resource) -> dict[str, list[str]]:
    """List the RBAC rows of objects, by id."""
    model = rbac.get_type_model_map()[resource.kind.value]
    found: dict[str, list[str]] = {}
    query = sa.select(model.object_id, model.target_project, model.action)
    with reading(n_context.get_admin_context()) as connection:
        for one in connection.execute(query):
            found.setdefault(one.object_id, []).append(f"{one.action} {one.target_project}")
    return found


#: The parts that Neutron's own rows make.
NEUTRON_PARTS: Mapping[str, Part] = {
    one.collection: read_objects(one) for one in RESOURCES.values()
}


def collect_leases(networks: list[str]) -> list[listing.Row]:
    """Read the leases of networks and of their subnets."""
    pools = [*networks, *_find_ids("get_subnets", networks)] if networks else None
    with reading(n_context.get_admin_context()) as connection:
        return listing.to_rows(lease.list_rows(connection, pools), None)


def collect_mappings(networks: list[str]) -> list[listing.Row]:
    """Read the site mappings of networks, with those of what is on them and of what they name.

    Where a router is told to have an interface depends on its other networks as well.
    """
    ids = None
    if networks:
        routers = list_routers(networks)
        joined = {one["network_id"] for one in _find_router_ports("device_id", routers)}
        ids = [*joined.union(networks), *routers]
        ids += [*_find_ids("get_subnets", networks), *_find_ids("get_ports", networks)]
    with reading(n_context.get_admin_context()) as connection:
        if ids is not None:
            ids += _list_named(connection, networks)
        return listing.to_rows(mapping.list_rows(connection, ids), None)


def _list_named(connection: sa.Connection, networks: list[str]) -> set[str]:
    """List the ids of what networks and their ports name besides each other.

    Args:
        connection: of the tier's database.
        networks: their ids.

    Returns:
        Security groups of the ports, groups and address groups in rules of those, QoS policies, and
        trunks with a parent or a subport there.
    """
    return {one for query in _select(networks) for one in connection.scalars(query) if one}


def _select(networks: list[str]) -> Iterator[sa.Select[Any]]:
    ports = sa.select(_PORTS.c.id).where(_PORTS.c.network_id.in_(networks))
    of_ports = _BINDINGS.c.port_id.in_(ports)
    groups = sa.select(_BINDINGS.c.security_group_id).where(of_ports).distinct()
    yield groups
    for column in (_RULES.c.remote_group_id, _RULES.c.remote_address_group_id):
        yield sa.select(column).where(_RULES.c.security_group_id.in_(groups)).distinct()
    yield sa.select(_OF_PORT.c.policy_id).where(_OF_PORT.c.port_id.in_(ports)).distinct()
    yield sa.select(_OF_NETWORK.c.policy_id).where(_OF_NETWORK.c.network_id.in_(networks))
    yield sa.select(_TRUNKS.c.id).where(_TRUNKS.c.port_id.in_(ports))
    yield sa.select(_SUBPORTS.c.trunk_id).where(_SUBPORTS.c.port_id.in_(ports)).distinct()


def collect_datapaths(networks: list[str]) -> list[listing.Row]:
    """Read the datapath keys of networks."""
    with reading(n_context.get_admin_context()) as connection:
        return datapath.list_rows(connection, networks or None)


def count_jobs(_networks: list[str]) -> Any:
    """Count the intents in each lane of the journal."""
    with reading(n_context.get_admin_context()) as connection:
        counts = job_store.count_lanes(connection)
    return {
        lane: {"backlog": count.backlog, "parked": count.parked} for lane, count in counts.items()
    }


def epoch_of(get_witness: Callable[[], Witness]) -> Part:
    """Return a function that reads a tier's incarnation: whether it gives numbers out, or why not.

    Args:
        get_witness: returns the witness of this process.
    """

    def read(_networks: list[str]) -> Any:
        with reading(n_context.get_admin_context()) as connection:
            own = epoch.peek(connection)
        if own is None:
            return {}
        witness = get_witness()
        blindness = witness.blindness
        unknown = f"whether its database was restored is not known yet: {blindness}"
        return {
            "epoch": own.epoch,
            "recovered": own.recovered and not blindness,
            "stands_down": bool(own.replaced_by),
            # Of a site alone: central has no rows of OVN.
            "behind": own.behind.value if own.registration else epoch.Behind.NOT.value,
            "blind": bool(blindness),
            "reason": own.reason or (unknown if blindness else ""),
            "witness": witness.trouble,
        }

    return read


def list_routers(networks: list[str]) -> list[str]:
    """List the routers that are on networks, with an interface or a gateway."""
    return sorted({one["device_id"] for one in _find_router_ports("network_id", networks)})


def _find_router_ports(name: str, values: list[str]) -> list[dict[str, str]]:
    """List the interfaces and gateways of routers that have one of these values."""
    if not values:
        return []
    found: list[dict[str, str]] = directory.get_plugin().get_ports(
        n_context.get_admin_context(),
        {name: values, "device_owner": _OF_ROUTERS},
        fields=["device_id", "network_id"],
    )
    return found


def _find_ids(method: str, networks: list[str]) -> list[str]:
    lister = getattr(directory.get_plugin(), method)
    found = lister(n_context.get_admin_context(), {"network_id": networks}, fields=["id"])
    return [row["id"] for row in found]
