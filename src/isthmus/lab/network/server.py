"""Lab servers: namespaces that stand for virtual machines.

A server is plugged into the integration bridge of a hypervisor just as Nova would plug it, takes
its addresses from the network (DHCP, DHCPv6, router advertisements), and has nothing else.
"""

import ipaddress
import json
import re
import signal
import time
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from isthmus import errors
from isthmus.lab.network import dhcp, plug, vlans
from isthmus.lab.plan import LabPlan
from isthmus.lab.process.ledger import Ledger
from isthmus.lab.process.program import Program
from isthmus.lab.process.start import log_end, start
from isthmus.lab.protocols import Api, Tools
from isthmus.lab.tier.maker import MARKER
from isthmus.model.topology import Hypervisor, Tier

#: Longest waits, in seconds, on a busy machine.
ACTIVE_TIMEOUT_S = 90
ADDRESS_TIMEOUT_S = 60
_POLL_S = 0.1
LINK = "eth0"
NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,29}")
_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_DEVICE_OWNER = "compute:lab"

Row = Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerRequest:
    """What a person asks a server to be."""

    name: str
    site: str
    network: str = ""  #: name or id; may be left out where a port is given
    port: str = ""  #: name or id of a port that is there already
    vlans: tuple[int, ...] = ()  #: of its port's trunk that it is to have devices for
    security_groups: tuple[str, ...] = ()  #: names or ids
    fixed_ips: tuple[str, ...] = ()
    host: str = ""  #: hypervisor; the emptiest of the site where left out
    project: str = "demo"


class Servers:
    """The servers of one lab."""

    def __init__(self, plan: LabPlan, tools: Tools, ledger: Ledger) -> None:
        """Bind them."""
        self._plan = plan
        self._tools = tools
        self._ledger = ledger
        self._folder = plan.folder / "servers"

    def list_rows(self) -> list[Row]:
        """List the servers."""
        keys = ("name", "site", "host", "network_id", "port_id", "mac_address", "addresses")
        return [{key: row[key] for key in keys} for row in self._ledger.read().servers.values()]

    def get(self, name: str) -> Row:
        """Find a server.

        Raises:
            NotFound: there is none of that name.
        """
        servers = self._ledger.read().servers
        if name not in servers:
            known = ", ".join(servers) or "none"
            raise errors.NotFound(f"there is no server {name!r}; there is: {known}")
        return servers[name]

    def create(self, request: ServerRequest) -> Row:
        """Make a server and wait until it has its addresses.

        Raises:
            Exists: there is one of that name.
            NotFound: no such site, host, network, port, security group or VLAN of its trunk.
            TimedOut: its port did not become active, or an address did not come. The server stays,
                to be looked at.
        """
        if not NAME.fullmatch(request.name):
            raise errors.Invalid(f"{request.name!r}: small letters, digits and hyphens, at most 30")
        if request.name in self._ledger.read().servers:
            raise errors.Exists(f"there is a server {request.name!r} already")
        site = self._plan.get_site(request.site)
        host = self._choose_host(site, request.host)
        port = self._make_port(request, site, host)
        row = {
            "name": request.name,
            "netns": self._plan.server_netns(request.name),
            "site": str(site.name),
            "host": host.name,
            "port_id": port["id"],
            "network_id": port["network_id"],
            "mac_address": port["mac_address"],
            "addresses": [one["ip_address"] for one in port["fixed_ips"]],
            "own_port": not request.port,
        }
        subports = vlans.find_subports(port, request.vlans)
        self._ledger.add("server", **row)
        macs = {vlans.device(LINK, tag): one["mac_address"] for tag, one in subports.items()}
        self._plug(row, host, self._mtu(site, port), macs)
        self._await_active(site, row)
        self._take_addresses(site, row, port)
        for tag, subport in subports.items():
            self._set_addresses(site, row, vlans.device(LINK, tag), subport["port_id"])
        return self.get(request.name)

    def delete(self, name: str) -> None:
        """Remove a server, and its port where it was made for it.

        Raises:
            NotFound: there is none of that name.
        """
        row = self.get(name)
        for key, running in self._ledger.read().programs.items():
            if key.startswith(f"vm-{name}."):
                self._tools.processes.send(running.process, signal.SIGKILL)
        host = self._plan.get_hypervisor(row["host"])
        tap, trunk = plug.tap(row["port_id"]), vlans.bridge(row["port_id"])
        self._vsctl(
            host, "--if-exists", "del-port", "br-int", tap, "--", "--if-exists", "del-br", trunk
        )
        if Path("/run/netns", row["netns"]).exists():
            self._tools.run(["ip", "netns", "delete", row["netns"]])
        # What is between a bridge of VLANs and `br-int` does not go with the server's namespace.
        self._tools.run(["ip", "link", "delete", tap], netns=host.netns, check=False)
        api = self._api(row["site"])
        path = f"/v2.0/ports/{row['port_id']}"
        try:
            if row["own_port"]:
                api.call("DELETE", path)
            else:
                free = {"binding:host_id": "", "device_id": "", "device_owner": ""}
                api.call("PUT", path, body={"port": free})
        except errors.NotFound:
            pass  # somebody has deleted it already
        self._ledger.add("server-gone", name=name)

    def get_netns(self, name: str) -> str:
        """Return the namespace of a server, be it the lab's own or Nova's.

        Raises:
            NotFound: there is none of that name, or several of Nova's.
        """
        made = self._ledger.read()
        row = made.servers.get(name) or made.find_guest(name) or self.get(name)
        return str(row["netns"])

    def exec(self, name: str, command: Sequence[str]) -> int:
        """Run a command in a server, on the person's terminal; gives its exit code.

        Raises:
            NotFound: there is none of that name.
        """
        netns = self.get_netns(name)
        return self._tools.interact(self._with_resolver(name, command), netns=netns)

    def run(self, name: str, command: Sequence[str], timeout_s: float = 60) -> tuple[int, str]:
        """Run a command in a server; gives its exit code and what it said.

        Raises:
            NotFound: there is none of that name.
            TimedOut: it did not end in time.
        """
        netns = self.get_netns(name)
        command = self._with_resolver(name, command)
        done = self._tools.run(command, netns=netns, timeout_s=timeout_s, check=False)
        return done.exit_code, done.stdout + done.stderr

    def _with_resolver(self, name: str, command: Sequence[str]) -> Sequence[str]:
        """Have a command ask the name servers that the server was told of, if it was."""
        said = "".join(
            file.read_text() for file in dhcp.resolv_files(self._folder, name) if file.exists()
        )
        if "nameserver" not in said or not Path("/etc/resolv.conf").exists():
            return command
        file = self._folder / f"{name}.resolv"
        file.write_text(said)
        return dhcp.with_resolver(file, command)

    def _api(self, cloud: str) -> Api:
        return self._tools.open_api(self._plan.clouds_file, cloud)

    def _choose_host(self, site: Tier, name: str) -> Hypervisor:
        if name:
            return self._plan.get_hypervisor(name, site)
        used = [row["host"] for row in self._ledger.read().servers.values()]
        return min(site.hypervisors, key=lambda host: used.count(host.name))

    def _make_port(self, request: ServerRequest, site: Tier, host: Hypervisor) -> Row:
        binding = {
            "binding:host_id": host.name,
            "device_owner": _DEVICE_OWNER,
            "device_id": str(uuid.uuid4()),
        }
        admin = self._api(site.name)
        if request.port:
            # As Nova does: read it first, which at a site brings what only central knows so far.
            path = f"/v2.0/ports/{self._find_id('port', request.port, '', site)}"
            admin.call("GET", path)
            return _port(admin.call("PUT", path, body={"port": binding}))
        if not request.network:
            raise errors.Invalid("give --network, or the --port to use")
        tenant = f"{request.project}-" if request.project != "demo" else ""
        body: dict[str, Any] = {
            "name": request.name,
            "network_id": self._find_id("network", request.network, tenant, site),
            "dns_name": request.name,  # as Nova does
        }
        if request.security_groups:
            body["security_groups"] = [
                self._find_id("security_group", group, tenant, site)
                for group in request.security_groups
            ]
        if request.fixed_ips:
            body["fixed_ips"] = [{"ip_address": address} for address in request.fixed_ips]
        if not tenant:
            return _port(admin.call("POST", "/v2.0/ports", body={"port": {**body, **binding}}))
        member = self._api(tenant + site.name)
        made = _port(member.call("POST", "/v2.0/ports", body={"port": body}))
        return _port(admin.call("PUT", f"/v2.0/ports/{made['id']}", body={"port": binding}))

    def _find_id(self, resource: str, name: str, tenant: str, site: Tier) -> str:
        """Find an id by name: central knows everything, and the site what is its own."""
        if _UUID.fullmatch(name):
            return name
        for tier in (self._plan.central.name, site.name):
            try:
                rows = self._api(f"{tenant}{tier}").get_all(resource, name=name, fields="id")
            except errors.Transient:
                continue
            if len(rows) > 1:
                raise errors.Conflict(f"{len(rows)} {resource}s are called {name!r}: give the id")
            if rows:
                return str(rows[0]["id"])
        raise errors.NotFound(f"there is no {resource.replace('_', ' ')} {name!r}")

    def _mtu(self, site: Tier, port: Row) -> int:
        path = f"/v2.0/networks/{port['network_id']}"
        return int(self._api(site.name).call("GET", path)["network"]["mtu"])

    def _plug(self, row: Row, host: Hypervisor, mtu: int, vlan_macs: Mapping[str, str]) -> None:
        run, netns, tap = self._tools.run, row["netns"], plug.tap(row["port_id"])
        run(["ip", "netns", "add", netns])
        run(["sysctl", "-qw", *plug.SYSCTLS], netns=netns)
        macs = {LINK: row["mac_address"], **vlan_macs}
        if vlan_macs:
            lines = vlans.render_links(row["port_id"], tap, netns, macs, mtu)
            run(["ip", "-batch", "-"], stdin="\n".join(lines), netns=host.netns)
            tags = [int(name.partition(".")[2]) for name in vlan_macs]
            self._vsctl(host, *vlans.switch_words(row["port_id"], tags))
        else:
            link = plug.render_link(
                row["port_id"],
                name=LINK,
                mac=row["mac_address"],
                mtu=mtu,
                guest=netns,
                host=host.netns,
            )
            run(["ip", "-batch", "-"], stdin=link)
        run(["ip", "link", "set", "lo", "up"], netns=netns)
        for name in macs:
            # Open vSwitch in user space takes packets as they are: checksums must be whole.
            run(["ethtool", "-K", name, "tx", "off"], netns=netns)
        run(["ip", "link", "set", tap, "up"], netns=host.netns)
        words = plug.attach_words(row["port_id"], mac=row["mac_address"], guest=row["name"])
        self._vsctl(host, *words)

    def _vsctl(self, host: Hypervisor, *words: str) -> None:
        sock = self._plan.host_dir(host) / "db.sock"
        self._tools.run(["ovs-vsctl", f"--db=unix:{sock}", "--timeout=30", *words])

    def _await_active(self, site: Tier, row: Row) -> None:
        api = self._api(site.name)
        deadline = time.monotonic() + ACTIVE_TIMEOUT_S
        while True:
            port = _port(api.call("GET", f"/v2.0/ports/{row['port_id']}"))
            if port["status"] == "ACTIVE":
                return
            if time.monotonic() > deadline:
                raise errors.TimedOut(
                    f"port {row['port_id']} of {row['name']} is {port['status']} after "
                    f"{ACTIVE_TIMEOUT_S} s (vif_type {port.get('binding:vif_type')}); see: "
                    f"isthmus lab logs {row['host']}.controller"
                )
            time.sleep(_POLL_S)

    def _take_addresses(self, site: Tier, row: Row, port: Row) -> None:
        api, netns = self._api(site.name), row["netns"]
        self._folder.mkdir(exist_ok=True)
        (self._folder / "dhclient.conf").write_text(dhcp.CONF)
        script = self._folder / "dhclient-script"
        if not script.exists():
            script.write_text(dhcp.SCRIPT)
            script.chmod(0o755)
        # Only now: the kernel asks for a router as the link comes up, and somebody must hear it.
        self._tools.run(["ip", "link", "set", LINK, "up"], netns=netns)
        modes: list[tuple[str, ...]] = []
        for fixed in port["fixed_ips"]:
            subnet = api.call("GET", f"/v2.0/subnets/{fixed['subnet_id']}")["subnet"]
            mode = choose_mode(subnet)
            if mode == STATIC:
                length = ipaddress.ip_network(subnet["cidr"]).prefixlen
                address = f"{fixed['ip_address']}/{length}"
                self._tools.run(["ip", "addr", "replace", address, "dev", LINK], netns=netns)
            elif mode and mode not in modes:
                modes.append(mode)
        for file in dhcp.resolv_files(self._folder, row["name"]):
            file.unlink(missing_ok=True)  # of a former server of the name
        for mode in modes:
            self._start_client(row, mode)
        self._await_addresses(row)

    def _set_addresses(self, site: Tier, row: Row, link: str, port_id: str) -> None:
        """Give a VLAN device what its subport has; where that is SLAAC, it comes by itself."""
        api, netns = self._api(site.name), row["netns"]
        self._tools.run(["ip", "link", "set", link, "up"], netns=netns)
        for fixed in _port(api.call("GET", f"/v2.0/ports/{port_id}"))["fixed_ips"]:
            subnet = api.call("GET", f"/v2.0/subnets/{fixed['subnet_id']}")["subnet"]
            if choose_mode(subnet):
                length = ipaddress.ip_network(subnet["cidr"]).prefixlen
                address = f"{fixed['ip_address']}/{length}"
                self._tools.run(["ip", "addr", "replace", address, "dev", link], netns=netns)

    def _start_client(self, row: Row, mode: tuple[str, ...]) -> None:
        # What a former server of the name was leased is not this one's to ask for.
        dhcp.leases_file(self._folder, row["name"], mode).unlink(missing_ok=True)
        name = f"vm-{row['name']}.dhcp{''.join(mode).replace('-', '')}"
        program = Program(
            name=name,
            netns=row["netns"],
            log=self._plan.log_dir / f"{name}.log",
            argv=dhcp.client_command(self._folder, row["name"], LINK, mode),
            env={MARKER: str(self._plan.folder)},
        )
        start(program, self._tools, self._ledger)

    def _await_addresses(self, row: Row) -> None:
        wanted = {ipaddress.ip_address(address) for address in row["addresses"]}
        deadline = time.monotonic() + ADDRESS_TIMEOUT_S
        while left := wanted - self._addresses(row["netns"]):
            if time.monotonic() > deadline:
                logs = sorted(self._plan.log_dir.glob(f"vm-{row['name']}.*"))
                raise errors.TimedOut(
                    f"{row['name']} did not get {', '.join(map(str, left))} in "
                    f"{ADDRESS_TIMEOUT_S} s\n" + "\n".join(map(log_end, logs))
                )
            time.sleep(_POLL_S)

    def _addresses(self, netns: str) -> set[ipaddress.IPv4Address | ipaddress.IPv6Address]:
        out = self._tools.run(["ip", "-json", "addr", "show", "dev", LINK], netns=netns).stdout
        return {
            ipaddress.ip_address(info["local"])
            for link in json.loads(out)
            for info in link.get("addr_info", ())
            if not info.get("tentative")
        }


#: The mode of a subnet whose addresses nobody hands out: the server is told them.
STATIC = ("static",)


def choose_mode(subnet: Row) -> tuple[str, ...]:
    """Return how a server gets its address: options of dhclient, `STATIC`, or none (by RA)."""
    if subnet["ip_version"] == 4:
        return ("-4",) if subnet["enable_dhcp"] else STATIC
    mode = str(subnet.get("ipv6_address_mode") or "")
    by_mode = {"slaac": (), "dhcpv6-stateless": ("-6", "-S"), "dhcpv6-stateful": ("-6",)}
    return by_mode.get(mode, STATIC) if subnet["enable_dhcp"] or mode == "slaac" else STATIC


def _port(answer: Any) -> Row:
    if not isinstance(answer, Mapping) or "port" not in answer:
        raise errors.ProtocolError(f"the answer has no port: {str(answer)[:200]}")
    port: Row = answer["port"]
    return port
