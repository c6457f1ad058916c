"""What is read of central and of each site's Neutron.

A site is asked by what fetches nothing there: a list by id would show, or bring, what central
knows.
"""

from collections.abc import Iterable, Iterator

from isthmus.diagnose.collect.protocols import Api
from isthmus.diagnose.collect.tasks import Task
from isthmus.diagnose.world import Row, Source
from isthmus.model.site import CENTRAL

#: Of a port, what tells whether it is another one with the same address.
_TWIN = ("id", "network_id", "mac_address", "fixed_ips")


def central_tasks(api: Api, ports: tuple[Row, Row]) -> Iterator[Task]:
    """Return what to read of central."""
    networks = sorted({row["network_id"] for row in ports})
    groups = sorted({one for row in ports for one in row.get("security_groups") or ()})
    ids = [*(row["id"] for row in ports), *networks, *groups]

    def task(what: str, table: str, resource: str, **filters: object) -> Task:
        return Task(Source.CENTRAL, CENTRAL, what, lambda: {table: api.list(resource, **filters)})

    yield task("networks", "network", "network", id=networks)
    yield task("subnets", "subnet", "subnet", network_id=networks)
    yield task("sites", "site", "site")
    yield task("presences", "site_presence", "site_presence", network_id=networks)
    yield task("jobs", "site_job", "site_job", resource_id=ids)
    yield task("refused reports", "site_refusal", "site_refusal", resource_id=ids)
    yield Task(Source.CENTRAL, CENTRAL, "security groups", lambda: _groups(api, groups))
    yield Task(Source.CENTRAL, CENTRAL, "ports", lambda: _ports(api, ports))


def _groups(api: Api, groups: list[str]) -> dict[str, list[Row]]:
    found = api.list("security_group", id=groups) if groups else []
    named = sorted(
        {
            rule["remote_address_group_id"]
            for group in found
            for rule in group.get("security_group_rules") or ()
            if rule.get("remote_address_group_id")
        }
    )
    rows = api.list("address_group", id=named) if named else []
    return {"security_group": found, "address_group": rows}


def _ports(api: Api, ports: Iterable[Row]) -> dict[str, list[Row]]:
    return {"port": list(ports), "twin": _twins(api, ports)}


def _twins(api: Api, ports: Iterable[Row]) -> list[Row]:
    """List the ports that have an address or a MAC address of the ends."""
    found: dict[str, Row] = {}
    for port in ports:
        network = port["network_id"]
        asked: list[dict[str, object]] = [{"mac_address": port["mac_address"]}]
        asked += [
            {"fixed_ips": f"ip_address={one['ip_address']}"} for one in port.get("fixed_ips") or ()
        ]
        for filters in asked:
            rows = api.list("port", network_id=network, fields=list(_TWIN), **filters)
            found |= {row["id"]: row for row in rows}
    return list(found.values())


def site_tasks(
    api: Api, site: str, central: tuple[Row, Row], networks: list[Row]
) -> Iterator[Task]:
    """Return what to read of a site's Neutron.

    Args:
        api: of the site.
        site: its name.
        central: the two ports as central has them.
        networks: as central has them.
    """
    yield Task(Source.NEUTRON, site, "ports", lambda: _site_ports(api, central))
    yield Task(Source.NEUTRON, site, "networks", lambda: _site_networks(api, networks))
    yield Task(Source.NEUTRON, site, "security groups", lambda: _site_groups(api, central))
    yield Task(
        Source.NEUTRON, site, "shadows",
        lambda: {"site_shadow": api.list("site_shadow", id=[row["id"] for row in central])},
    )  # fmt: skip


def _site_ports(api: Api, central: Iterable[Row]) -> dict[str, list[Row]]:
    found: dict[str, Row] = {}
    for port in central:
        for row in api.list("port", network_id=port["network_id"], mac_address=port["mac_address"]):
            found[row["id"]] = row
    ids = {port["id"] for port in central}
    mine = [row for row in found.values() if row["id"] in ids]
    return {"port": mine, "twin": _twins(api, central)}


def _site_networks(api: Api, networks: Iterable[Row]) -> dict[str, list[Row]]:
    rows, subnets = [], []
    for network in networks:
        named = api.list("network", name=network.get("name") or "")
        rows += [row for row in named if row["id"] == network["id"]]
        for cidr_of in network.get("cidrs") or ():
            found = api.list("subnet", cidr=cidr_of)
            subnets += [row for row in found if row["network_id"] == network["id"]]
    return {"network": rows, "subnet": subnets}


def _site_groups(api: Api, ports: Iterable[Row]) -> dict[str, list[Row]]:
    wanted = {one for port in ports for one in port.get("security_groups") or ()}
    projects = sorted({str(port.get("project_id") or "") for port in ports} - {""})
    rows = [row for project in projects for row in api.list("security_group", project_id=project)]
    return {"security_group": [row for row in rows if row["id"] in wanted]}
