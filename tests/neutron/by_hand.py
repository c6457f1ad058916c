"""A tenant's whole world at a site, and changes of one row of it that nobody is told of."""

import uuid
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from tests.neutron.central_server import CentralServer
from tests.neutron.local_server import LocalServer
from tests.neutron.server import ADMIN, Server, User
from tests.neutron.test_local_apply import carried
from tests.neutron.test_provider_networks import ask
from tests.neutron.test_routers import join, make_network
from tests.neutron.test_trunks import sub

from isthmus.federation.audits.audit import audit
from isthmus.federation.audits.holdings import parse_holdings
from isthmus.model.site import SiteName
from isthmus.testing.until import until

_SITE = SiteName("site1")


class World:
    """What a tenant has, and the ids of it by name."""

    def __init__(self, central: CentralServer, site: LocalServer) -> None:
        self.central, self.site = central, site
        project = uuid.uuid4().hex
        self.user = User(f"user-of-{project}", project, ("manager", "member", "reader"))
        self.ids: dict[str, str] = {}
        self._make_groups()
        self._make_networks()
        self._make_ports()
        self._make_router()
        self._make_trunk()
        self._make_unrelated()
        carried(central, site)
        until(lambda: not self.find(), what="an audit that is clean")
        self._name_rows()

    def make(self, kind: str, user: User | None = None, **values: Any) -> dict[str, Any]:
        return self.central.create(kind, user or self.user, **values)

    def _make_groups(self) -> None:
        addresses = self.make("address_group", name="peers", addresses=["192.0.2.0/24"])
        group = self.make("security_group", name="web")
        rule = self.make(
            "security_group_rule",
            security_group_id=group["id"],
            direction="ingress",
            ethertype="IPv4",
            protocol="tcp",
            port_range_min=80,
            port_range_max=80,
            remote_address_group_id=addresses["id"],
        )
        policy = self.central.call(
            "POST", "/v2.0/qos/policies", {"policy": {"name": "slow"}}, self.user
        ).only()
        path = f"/v2.0/qos/policies/{policy['id']}/bandwidth_limit_rules"
        values = {"max_kbps": 3000, "max_burst_kbps": 300, "direction": "egress"}
        made = self.central.call("POST", path, {"bandwidth_limit_rule": values}, self.user)
        assert made.status == 201, made.text
        self.ids |= {"addresses": addresses["id"], "group": group["id"], "rule": rule["id"]}
        self.ids |= {"policy": policy["id"]}

    def _make_networks(self) -> None:
        network, subnet = make_network(self.central, self.user, "10.7.0.0/24")
        far, far_subnet = make_network(self.central, self.user, "10.8.0.0/24")
        for site in ("site1", "site2"):
            self.make("site_presence", ADMIN, network_id=far["id"], site=site)
        body = {
            "host_routes": [{"destination": "198.51.100.0/24", "nexthop": "10.7.0.9"}],
            "dns_nameservers": ["192.0.2.53", "192.0.2.54"],
        }
        path = f"/v2.0/subnets/{subnet['id']}"
        assert self.central.call("PUT", path, {"subnet": body}, self.user).status == 200
        assert (
            self.central.call("PUT", f"/v2.0/networks/{network['id']}/tags/gold", None, self.user)
        ).status in (200, 201)
        self.make(
            "rbac_policy",
            object_type="network",
            object_id=network["id"],
            action="access_as_shared",
            target_tenant=uuid.uuid4().hex,
        )
        more = {"router:external": True}
        external = ask(self.central, f"p{uuid.uuid4().hex[:8]}", ["zone1"], **more).only()
        outside = self.make(
            "subnet",
            ADMIN,
            network_id=external["id"],
            cidr="172.31.7.0/24",
            ip_version=4,
            gateway_ip="172.31.7.1",
            enable_dhcp=False,
        )
        self.ids |= {"network": network["id"], "subnet": subnet["id"], "far": far["id"]}
        self.ids |= {"far_subnet": far_subnet["id"], "external": external["id"]}
        self.ids |= {"outside": outside["id"]}

    def _make_unrelated(self) -> None:
        network, _ = make_network(self.central, self.user, "10.9.0.0/24")
        self.site.create("port", self.user, network_id=network["id"])
        self.ids["unrelated"] = network["id"]

    def _make_ports(self) -> None:
        for name in ("port", "other", "parent"):
            made = self.site.create(
                "port",
                self.user,
                network_id=self.ids["network"],
                security_groups=[self.ids["group"]],
                qos_policy_id=self.ids["policy"] if name == "port" else None,
            )
            values = {
                "binding:host_id": "host1",
                "device_owner": "compute:nova",
                "device_id": f"vm-{name}",
            }
            assert self.site.update("port", made["id"], ADMIN, **values).status == 200
            self.ids[name] = made["id"]
        until(
            lambda: all(
                self.central.call("GET", f"/v2.0/ports/{self.ids[one]}").status == 200
                for one in ("port", "other", "parent")
            ),
            what="central knows the ports",
        )

    def _make_router(self) -> None:
        ids = self.ids
        router = self.make("router", name="r")
        for subnet in (ids["subnet"], ids["far_subnet"]):
            joined = join(self.central, router, self.user, subnet_id=subnet)
            assert joined.status == 200, joined.text
            ids[f"join-{subnet}"] = joined.body["port_id"]
        ids |= {"router": router["id"], "interface": ids[f"join-{ids['subnet']}"]}
        body = {
            "external_gateway_info": {"network_id": ids["external"]},
            "routes": [{"destination": "203.0.113.0/24", "nexthop": "10.7.0.9"}],
        }
        path = f"/v2.0/routers/{router['id']}"
        changed = self.central.call("PUT", path, {"router": body}, self.user)
        assert changed.status == 200, changed.text
        floating = self.make(
            "floatingip",
            floating_network_id=ids["external"],
            port_id=ids["port"],
            qos_policy_id=ids["policy"],
        )
        forwarding = self.make("floatingip", floating_network_id=ids["external"])
        path = f"/v2.0/floatingips/{forwarding['id']}/port_forwardings"
        values = {
            "protocol": "tcp",
            "external_port": 8080,
            "internal_port": 80,
            "internal_port_id": ids["other"],
            "internal_ip_address": self._address("other"),
        }
        made = self.central.call("POST", path, {"port_forwarding": values}, self.user)
        assert made.status == 201, made.text
        ids |= {"floating": floating["id"], "floating_ip": floating["floating_ip_address"]}
        ids |= {"forwarding": forwarding["id"]}

    def _address(self, name: str) -> str:
        port = self.central.call("GET", f"/v2.0/ports/{self.ids[name]}").only()
        return str(port["fixed_ips"][0]["ip_address"])

    def _make_trunk(self) -> None:
        child = self.make("port", network_id=self.ids["far"])
        trunk = self.make(
            "trunk", port_id=self.ids["parent"], sub_ports=[sub(child["id"], 101)], name="t"
        )
        self.ids |= {"trunk": trunk["id"], "subport": child["id"]}

    def find(self, network: str = "") -> list[tuple[str, str, str]]:
        """Audit all, or one network; gives code, object and evidence of each finding."""
        path = f"/v2.0/site-holdings{f'?network_id={network}' if network else ''}"
        central, site = (
            parse_holdings(server.call("GET", path).only()[0])
            for server in (self.central, self.site)
        )
        found = audit(central, {_SITE: site}).findings
        return [(one.code, one.subject.name, one.evidence) for one in found]

    def _name_rows(self) -> None:
        """Find the rows of OVN that have no name."""
        ids, ovn = self.ids, self.site.ovn

        def find(table: str, *where: str) -> str:
            rows = ovn.nbctl("--bare", "--columns=_uuid", "find", table, *where).split()
            assert len(rows) == 1, (table, where, rows)
            return rows[0]

        exits = f"external_ids:isthmus\\:router={ids['router']}"
        ids |= {
            "switch_row": find("Logical_Switch", f"name=neutron-{ids['network']}"),
            "router_row": find("Logical_Router", f"name=neutron-{ids['router']}"),
            "transit_row": find("Logical_Switch", f"name=isthmus-transit-{ids['router']}"),
            "nat_row": find("NAT", f"external_ip={ids['floating_ip']}", exits),
            "snat_row": find("NAT", "type=snat", 'logical_ip="0.0.0.0/0"'),
            "route_row": find("Logical_Router_Static_Route", 'ip_prefix="203.0.113.0/24"'),
            "balancer_row": find("Load_Balancer", exits),
            "limit_row": find("QoS", f"external_ids:neutron\\:port_id={ids['port']}"),
            "fip_limit_row": find("QoS", exits),
            "acl_row": find("ACL", f"external_ids:neutron\\:security_group_rule_id={ids['rule']}"),
            "set_row": find("Address_Set", 'addresses="192.0.2.0/24"'),
        }


@dataclass(frozen=True)
class Sql:
    """One column of the rows of a table is given another value."""

    table: str
    where: str
    column: str
    value: object

    def broken(self, world: World) -> AbstractContextManager[None]:
        where = self.where.format_map(world.ids)
        change = f"UPDATE {self.table} SET {self.column} = :value WHERE {where}"

        def put(value: object) -> None:
            run(world.site, change, {"value": value})

        query = f"SELECT {self.column} FROM {self.table} WHERE {where}"
        with world.site.database() as connection:
            (before,) = connection.scalars(sa.text(query))
        value = self.value(before, world.ids) if callable(self.value) else self.value
        assert value != before
        return changed(lambda: put(value), lambda: put(before))


@dataclass(frozen=True)
class Gone:
    """One row of a table is deleted."""

    table: str
    where: str
    tier: str = "site"

    def broken(self, world: World) -> AbstractContextManager[None]:
        server: Server = world.site if self.tier == "site" else world.central
        where = self.where.format_map(world.ids)
        with server.database() as connection:
            (row,) = connection.execute(sa.text(f"SELECT * FROM {self.table} WHERE {where}"))
        values = dict(row._mapping)
        columns = ", ".join(f'"{one}"' for one in values)  # one is called `order`
        names = ", ".join(f":{one}" for one in values)
        text = f"INSERT INTO {self.table} ({columns}) VALUES ({names})"
        return changed(
            lambda: run(server, f"DELETE FROM {self.table} WHERE {where}", {}),
            lambda: run(server, text, values),
        )


@dataclass(frozen=True)
class Nb:
    """One column of a row of OVN's northbound database is given another value."""

    table: str
    row: str
    column: str
    value: str

    def broken(self, world: World) -> AbstractContextManager[None]:
        ovn, row = world.site.ovn, self.row.format_map(world.ids)
        before = ovn.nbctl("get", self.table, row, self.column).strip()
        key = ovn.nbctl("get", self.table, row, "_uuid").strip()
        value = self.value.format_map(world.ids)
        assert value != before

        def put(value: str) -> None:
            if value in ("[]", "{}", '""') and ":" not in self.column:
                ovn.nbctl("clear", self.table, key, self.column)
            else:
                ovn.nbctl("set", self.table, key, f"{self.column}={value}")

        return changed(lambda: put(value), lambda: put(before))


def run(server: Server, text: str, values: dict[str, object]) -> None:
    with server.database(write=True) as connection:
        done = connection.execute(sa.text(text), values)
        assert done.rowcount == 1, (text, done.rowcount)


@contextmanager
def changed(put: Callable[[], object], back: Callable[[], object]) -> Iterator[None]:
    put()
    try:
        yield
    finally:
        back()


def swap(old: str, new: str) -> Callable[[Any, dict[str, str]], str]:
    """Replace one text of a value by another."""

    def make(before: Any, ids: dict[str, str]) -> str:
        found: str = before.replace(old.format_map(ids), new)
        assert found != before, before
        return found

    return make
