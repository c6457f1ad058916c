"""What is read of central about routers between two ends."""

from collections.abc import Container, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor

from isthmus import errors
from isthmus.diagnose.collect.protocols import Api
from isthmus.diagnose.collect.tasks import shorten_reason
from isthmus.diagnose.world import Row, Source, Unseen
from isthmus.model.site import CENTRAL

#: Routers in a row that are followed: each round reads the networks that the last ones join.
_ROUNDS = 4
_INTERFACE = "network:router_interface"
_PORT = (
    "id", "name", "network_id", "device_id", "device_owner", "mac_address", "fixed_ips",
    "admin_state_up", "status",
)  # fmt: skip
#: What central has decided: a person without the role is not shown it.
_DECIDED = "router_exit"
_ROUTERS_AT_MOST = 64


class RouterFacts:
    """Rows of central about routers, by table, and what could not be read."""

    def __init__(self, api: Api) -> None:
        """Read nothing yet."""
        self._api = api
        self.tables: dict[str, list[Row]] = {}
        self.unseen: list[Unseen] = []

    def collect(
        self, ports: Sequence[Row], subnets: Sequence[Row], floating: Sequence[Row]
    ) -> None:
        """Read routers that join networks of the ends, as far as packets may go.

        Args:
            ports: the ends that are ports.
            subnets: of their networks.
            floating: floating IPs that were asked for.
        """
        networks = {str(row["network_id"]) for row in ports}
        known = {str(row["id"]): row for row in floating}
        ids = [str(row["id"]) for row in ports]
        if ids:
            self._read_as("floatingip", "floatingip", "floating IPs", port_id=ids)
        rows = {**{str(one["id"]): one for one in self.tables.get("floatingip", ())}, **known}
        if known or "floatingip" in self.tables:
            self.tables["floatingip"] = [*rows.values()]
        first = {str(row.get("router_id") or "") for row in rows.values()} - {""}
        self._follow(set(networks), first)
        self._read_joined(networks)
        self._read_next_hops(subnets)

    def _follow(self, networks: set[str], first: set[str]) -> None:
        """Read routers of networks, and of the networks that these join, and so on."""
        found: dict[str, Row] = {}
        routers, decided, fresh = dict[str, Row](), dict[str, Row](), set(first)
        looked: set[str] = set()
        for _ in range(_ROUNDS):
            if networks - looked:
                rows = self._list("port", "ports of routers", network_id=sorted(networks - looked),
                                  device_owner=_INTERFACE, fields=list(_PORT))  # fmt: skip
                looked |= networks
                found |= {str(row["id"]): row for row in rows}
                fresh |= {str(row["device_id"]) for row in rows}
            fresh -= routers.keys()
            if not fresh or len(routers) > _ROUTERS_AT_MOST:
                break
            ids = sorted(fresh)
            with ThreadPoolExecutor(max_workers=3) as threads:
                listed = threads.submit(self._list, "router", "routers", id=ids)
                plans = threads.submit(self._list, _DECIDED, "exits of routers", id=ids)
                rows = self._list("port", "ports of routers", device_id=ids, fields=list(_PORT))
            routers |= {str(row["id"]): row for row in listed.result()}
            decided |= {str(row["id"]): row for row in plans.result()}
            found |= {str(row["id"]): row for row in rows}
            # Only routers with routes of their own lead on to further ones.
            chained = {one for one in fresh if (routers.get(one) or {}).get("routes")}
            networks |= {str(row["network_id"]) for row in rows if row["device_id"] in chained
                         and row.get("device_owner") == _INTERFACE}  # fmt: skip
            fresh = set()
        self.tables["router"] = [*routers.values()]
        self.tables["router_port"] = [*found.values()]
        self.tables[_DECIDED] = [*decided.values()]

    def _read_next_hops(self, subnets: Sequence[Row]) -> None:
        """Read who has the next hops that subnets and routers name, where no router has them."""
        hops = {str(row["gateway_ip"]) for row in subnets if row.get("gateway_ip")}
        told = [*subnets, *self.tables["router"]]
        hops |= {
            str(one["nexthop"]) for row in told
            for one in (*(row.get("host_routes") or ()), *(row.get("routes") or ()))
        }  # fmt: skip
        ports = self.tables["router_port"]
        hops -= {str(one["ip_address"]) for row in ports for one in row.get("fixed_ips") or ()}
        networks = {str(one["network_id"]) for one in (*ports, *subnets)}
        wanted = sorted(f"ip_address={one}" for one in hops)
        self.tables["next_hop_port"] = (
            self._list("port", "next hops", network_id=sorted(networks), fixed_ips=wanted,
                       fields=list(_PORT)) if wanted else []
        )  # fmt: skip

    def _read_joined(self, networks: set[str]) -> None:
        ids = networks | {str(row["network_id"]) for row in self.tables["router_port"]}
        for plan in self.tables.get(_DECIDED, ()):
            ids |= {str(one["network_id"]) for one in plan.get("gateways") or ()}
        for router in self.tables["router"]:
            info = router.get("external_gateway_info") or {}
            ids |= {str(info["network_id"])} if info.get("network_id") else set()
        wanted = sorted(ids)
        if wanted:
            with ThreadPoolExecutor(max_workers=2) as threads:
                told = ("network", "networks of routers")
                reading = threads.submit(self._read_as, "joined_network", *told, id=wanted)
                told = ("subnet", "subnets of routers")
                self._read_as("joined_subnet", *told, network_id=wanted)
            reading.result()
        else:
            self.tables |= {"joined_network": [], "joined_subnet": []}

    def _read_as(self, table: str, resource: str, what: str, **filters: object) -> None:
        try:
            self.tables[table] = self._api.list(resource, **filters)
        except errors.Refused as error:
            reason = f"{what}: {shorten_reason(error.message)}"
            self.unseen.append(Unseen(Source.CENTRAL, CENTRAL, reason))

    def _list(self, resource: str, what: str, **filters: object) -> list[Row]:
        try:
            return self._api.list(resource, **filters)
        except errors.Refused as error:
            reason = f"{what}: {shorten_reason(error.message)}"
            self.unseen.append(Unseen(Source.CENTRAL, CENTRAL, reason))
            return []


def list_sites(
    tables: Mapping[str, Sequence[Row]], homes: Sequence[str], cidrs: Container[str]
) -> list[str]:
    """List the sites by which routers that were read leave, or cross to a network.

    Args:
        tables: what was read of routers.
        homes: sites of the ends.
        cidrs: subnets of the ends' networks.
    """
    plans = tables.get(_DECIDED, ())
    found = [str(one["site"]) for plan in plans for one in plan.get("gateways") or ()
             if one.get("site")]  # fmt: skip
    begins = {*homes, *found}
    found += [
        str(route["site"]) for plan in plans for here in plan.get("sites") or ()
        for route in here.get("routes") or ()
        if here.get("site") in begins and route.get("purpose") == "subnet"
        and route.get("destination") in cidrs and route.get("site")
    ]  # fmt: skip
    return list(dict.fromkeys(found))
