"""Lists of Neutron that have no pages, no ids or paths of their own, in the form of all others."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from isthmus import errors
from isthmus.clients.http.neutron import NeutronClient

Row = Mapping[str, Any]
#: Lists that are whole at once, and the column by which their rows are told apart. With OVN, agents
#: come without pages whatever is asked for.
_WHOLE = {"agent": "id", "network_ip_availability": "network_id"}
_QUOTA, _ROUTER_AGENT, _QOS = "quota_detail", "router_agent", "qos_policy"
NAMES = frozenset({*_WHOLE, _QUOTA, _ROUTER_AGENT, _QOS})


def list_unpaged(client: NeutronClient, resource: str, filters: Mapping[str, Any]) -> list[Row]:
    """List resources of one of `NAMES`.

    Args:
        client: of the tier that is asked.
        resource: their singular name; `quota_detail` is of `project_id`, and `router_agent`
            of `router_id`: those of others are not listed.
        filters: name to a value or a list of values; None does not narrow.

    Raises:
        IsthmusError: nobody answered, or it was refused.
    """
    query = {key: value for key, value in filters.items() if value is not None}
    if resource in _WHOLE:
        key = _WHOLE[resource]
        return [{**row, "id": row[key]} for row in client.get_all(resource, **query)]
    if resource == _QOS:
        return [*_rows(client, "/v2.0/qos/policies", "policies", query)]
    if resource == _QUOTA:
        return [row for one in _several(query, "project_id") for row in _quotas(client, one)]
    return [row for one in _several(query, "router_id") for row in _agents(client, one)]


def _several(query: Mapping[str, Any], key: str) -> list[str]:
    value = query.get(key) or []
    return [*map(str, value)] if isinstance(value, list | tuple) else [str(value)]


def _rows(
    client: NeutronClient, path: str, key: str, query: Mapping[str, Any]
) -> Iterable[Mapping[str, Any]]:
    answer = client.call("GET", path, query=query)
    found = answer.get(key) if isinstance(answer, Mapping) else None
    if not isinstance(found, list):
        raise errors.ProtocolError(f"the answer of {client.name} to {path} has no list of rows")
    return found


def _quotas(client: NeutronClient, project: str) -> Iterator[Row]:
    path = f"/v2.0/quotas/{project}/details"
    answer = client.call("GET", path, query={})
    found = answer.get("quota") if isinstance(answer, Mapping) else None
    if not isinstance(found, Mapping):
        raise errors.ProtocolError(f"the answer of {client.name} to {path} has no quota")
    for name, one in found.items():
        if isinstance(one, Mapping):
            yield {"id": f"{project}/{name}", "project_id": project, "resource": name,
                   **{key: one.get(key) for key in ("limit", "used", "reserved")}}  # fmt: skip


def _agents(client: NeutronClient, router: str) -> Iterator[Row]:
    """Yield the L3 agents that have a router; none where no agent has any."""
    try:
        found = _rows(client, f"/v2.0/routers/{router}/l3-agents", "agents", {})
    except errors.NotFound:
        return
    for one in found:
        yield {**one, "id": f"{router}/{one.get('id')}", "router_id": router}
