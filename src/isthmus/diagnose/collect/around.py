"""What is read of Neutron beside the ends: who shares, limits, agents, what is left of addresses.

None of it stops what is asked for by itself to be told: each list is read for itself, and one that
was refused is not seen.
"""

from collections.abc import Iterator, Sequence

from isthmus.diagnose.collect.protocols import Api
from isthmus.diagnose.collect.tasks import Task
from isthmus.diagnose.world import Row, Source
from isthmus.model.site import CENTRAL

Rows = Sequence[Row]

#: Agents of back ends that are not OVN: they alone serve DHCP and routers by themselves.
L2_AGENTS = frozenset({"Open vSwitch agent", "Linux bridge agent"})
DHCP_OWNER = "network:dhcp"
_DHCP_PORT = ("id", "network_id", "device_owner", "status", "fixed_ips", "binding:host_id")


def central_tasks(api: Api, ports: Rows, networks: Rows) -> Iterator[Task]:
    """Return what to read of central.

    Args:
        api: of central.
        ports: the ends that are ports.
        networks: of these.
    """
    ids = sorted({str(row["id"]) for row in networks})
    projects = _projects(ports)
    policies = sorted(
        {str(row[key]) for row in (*ports, *networks)
         for key in ("qos_policy_id", "qos_network_policy_id") if row.get(key)}
    )  # fmt: skip

    def task(lane: int, what: str, table: str, wanted: list[str], **filters: object) -> Task:
        def read() -> dict[str, list[Row]]:
            return {table: api.list(table, **filters) if wanted else []}

        return Task(Source.CENTRAL, CENTRAL, what, read, lane)

    yield _clock(api, Source.CENTRAL, CENTRAL)
    yield task(1, "addresses that are left", "network_ip_availability", ids, network_id=ids)
    yield task(1, "RBAC policies", "rbac_policy", ids, object_type="network", object_id=ids)
    yield task(2, "quotas", "quota_detail", projects, project_id=projects)
    yield task(2, "QoS policies", "qos_policy", policies, id=policies)


def site_tasks(api: Api, site: str, ports: Rows, routers: Rows) -> Iterator[Task]:
    """Return what to read of a site's Neutron.

    Args:
        api: of the site.
        site: its name.
        ports: the ends that are ports, as central has them.
        routers: on the way, as central has them.
    """
    networks = sorted({str(row["network_id"]) for row in ports})
    told = (str(row.get("binding:host_id") or "").rpartition("/")[2] for row in ports)
    hosts = sorted({*told} - {""})
    yield _clock(api, Source.NEUTRON, site)
    yield Task(
        Source.NEUTRON, site, "addresses that are left",
        lambda: {"network_ip_availability": api.list("network_ip_availability",
                                                     network_id=networks) if networks else []},
        lane=1,
    )  # fmt: skip
    yield Task(
        Source.NEUTRON, site, "agents", lambda: _agents(api, hosts, networks, routers), lane=1
    )  # fmt: skip


def _clock(api: Api, source: Source, place: str) -> Task:
    """Return the task that reads a tier's clock, once it has answered something else."""
    return Task(source, place, "clock", lambda: {"clock": [{"ahead_s": round(api.read_ahead_s())}]})


def _projects(ports: Rows) -> list[str]:
    return sorted({str(row.get("project_id") or "") for row in ports} - {""})


def _agents(api: Api, hosts: list[str], networks: list[str], routers: Rows) -> dict[str, list[Row]]:
    """Read the agents of the ends' hypervisors; of all others too where these are not OVN's."""
    agents = api.list("agent", host=hosts) if hosts else []
    found: dict[str, list[Row]] = {"agent": agents, "dhcp_port": [], "router_agent": []}
    if not L2_AGENTS & {str(one.get("agent_type")) for one in agents}:
        return found
    found["agent"] = api.list("agent")
    if networks:
        found["dhcp_port"] = api.list(
            "port", network_id=networks, device_owner=DHCP_OWNER, fields=[*_DHCP_PORT]
        )
    if routers:
        found["router_agent"] = api.list("router_agent", router_id=[str(x["id"]) for x in routers])
    return found
