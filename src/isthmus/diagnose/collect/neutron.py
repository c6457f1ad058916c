"""What is read of central and of each site's Neutron.

A site is asked by what fetches nothing there: a list by id would show, or bring, what central
knows.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence

from isthmus.diagnose.collect.protocols import Api
from isthmus.diagnose.collect.tasks import Task
from isthmus.diagnose.world import Row, Source
from isthmus.model.site import CENTRAL

Rows = Sequence[Row]

#: Whose port answers for metadata on each hypervisor (neutron_lib constants).
METADATA_OWNER = "network:distributed"
_METADATA = ("id", "network_id", "device_owner", "fixed_ips")

#: Of a port, what tells whether it is another one with the same address.
_TWIN = ("id", "network_id", "mac_address", "fixed_ips")


def central_tasks(api: Api, ports: Rows, known: Mapping[str, Rows]) -> Iterator[Task]:
    """Return what to read of central.

    Args:
        api: of central.
        ports: the ends that are ports.
        known: tables that were read already, to find the ends.
    """
    networks = sorted({row["network_id"] for row in ports})
    groups = sorted({one for row in ports for one in row.get("security_groups") or ()})
    ids = [*(row["id"] for row in ports), *networks, *groups]

    def task(what: str, table: str, **filters: object) -> Task:
        return Task(Source.CENTRAL, CENTRAL, what, lambda: {table: api.list(table, **filters)})

    yield Task(Source.CENTRAL, CENTRAL, "ends", lambda: known)
    yield task("presences", "site_presence", network_id=networks)
    yield task("jobs", "site_job", resource_id=ids)
    yield task("refused reports", "site_refusal", resource_id=ids)
    yield Task(Source.CENTRAL, CENTRAL, "security groups", lambda: _groups(api, groups))
    yield Task(Source.CENTRAL, CENTRAL, "twins", lambda: {"twin": _twins(api, ports)})


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


def _twins(api: Api, ports: Iterable[Row], fields: Sequence[str] = _TWIN) -> list[Row]:
    """List the ports that have an address or a MAC address of the ends, these among them."""
    networks = sorted({row["network_id"] for row in ports})
    macs = sorted({row["mac_address"] for row in ports})
    fixed = sorted(
        {f"ip_address={one['ip_address']}" for row in ports for one in row.get("fixed_ips") or ()}
    )
    only: dict[str, object] = {"fields": list(fields)} if fields else {}
    found = api.list("port", network_id=networks, mac_address=macs, **only)
    if fixed:
        found += api.list("port", network_id=networks, fixed_ips=fixed, **only)
    return list({row["id"]: row for row in found}.values())


def site_tasks(api: Api, site: str, central: Rows, networks: list[Row]) -> Iterator[Task]:
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
        Source.NEUTRON, site, "metadata ports",
        lambda: {"metadata_port": _metadata_ports(api, central)},
    )  # fmt: skip
    yield Task(
        Source.NEUTRON, site, "shadows",
        lambda: {"site_shadow": api.list("site_shadow", id=[row["id"] for row in central])},
    )  # fmt: skip


def _site_ports(api: Api, central: Rows) -> dict[str, list[Row]]:
    found = _twins(api, central, fields=())
    ids = {port["id"] for port in central}
    return {"port": [row for row in found if row["id"] in ids], "twin": found}


def _metadata_ports(api: Api, ports: Rows) -> list[Row]:
    networks = sorted({row["network_id"] for row in ports})
    wanted = {"network_id": networks, "device_owner": METADATA_OWNER, "fields": [*_METADATA]}
    return api.list("port", **wanted) if networks else []


def _site_networks(api: Api, networks: Iterable[Row]) -> dict[str, list[Row]]:
    rows: list[Row] = []
    subnets: list[Row] = []
    for network in networks:
        named = api.list("network", name=network.get("name") or "")
        rows += [row for row in named if row["id"] == network["id"]]
        cidrs = list(network.get("cidrs") or ())
        found = api.list("subnet", cidr=cidrs) if cidrs else []
        subnets += [row for row in found if row["network_id"] == network["id"]]
    return {"network": rows, "subnet": subnets}


def _site_groups(api: Api, ports: Iterable[Row]) -> dict[str, list[Row]]:
    wanted = {one for port in ports for one in port.get("security_groups") or ()}
    projects = sorted({str(port.get("project_id") or "") for port in ports} - {""})
    rows = [row for project in projects for row in api.list("security_group", project_id=project)]
    return {"security_group": [row for row in rows if row["id"] in wanted]}
