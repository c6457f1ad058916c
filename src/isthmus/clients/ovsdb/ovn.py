"""A site's OVN databases: reading the rows that stretched networks stand on.

The connections are either Neutron's own (in an API process, whose copies of the databases are there
anyway) or made by `ovn_connection.connect`. Rows are read under the connection's lock, some
hundreds at a time, so that Neutron's own work waits for milliseconds only. Writing is in
`ovn_write`.
"""

import itertools
from collections.abc import Iterable, Iterator
from typing import Any

from ovsdbapp.backend.ovs_idl import idlutils

from isthmus.model.dataplane.ovn import (
    Binding,
    LocalChassis,
    Observed,
    RaMode,
    RemoteChassis,
    RemotePort,
    Responder,
    ResponderKey,
    Scope,
    SwitchPort,
)
from isthmus.model.site import SiteName

#: external_ids keys of rows that are ours.
SHADOW_MARK = "isthmus:shadow"  #: on a switch port and on a chassis; value: network id, or "yes"
SITE_MARK = "isthmus:site"
RESPONDER_MARK = "isthmus:responder"  #: on a logical router; value: "<network id>/<mode>"
RESPONDER_PORT_MARK = "isthmus:port"  #: beside it; value: name of the switch port

SWITCH_PREFIX = "neutron-"  #: Neutron names a network's switch so
KEY_OPTION = "requested-tnl-key"
CHASSIS_OPTION = "requested-chassis"
REVISION = "neutron:revision_number"  #: in external_ids of Neutron's rows
REMOTE_FLAG = "is-remote"  #: in Chassis.other_config

_ROWS_PER_LOCK = 500


class OvnRows:
    """Both databases of one site."""

    def __init__(self, nb: Any, sb: Any) -> None:
        """Use two ovsdbapp APIs, that of the northbound and that of the southbound database."""
        self.nb = nb
        self.sb = sb

    def northd_version(self) -> str:
        """Return northd's version; "" before it ever ran."""
        for row in self._all(self.nb, "NB_Global"):
            return str(row.options.get("northd_internal_version", ""))
        return ""

    def observe(self, networks: Iterable[str]) -> Observed:
        """Read everything of ours, and the switches of these networks with all their ports."""
        switches, revisions, own_ports = self._read_switches(networks)
        groups, memberships = self._read_groups(None)
        ports = {
            row.name: _read_port(row, memberships.get(row.uuid, frozenset()))
            for row in self._all(self.nb, "Logical_Switch_Port")
            if SHADOW_MARK in row.external_ids
        }
        ours, local = self._read_chassis(self._all(self.sb, "Chassis"))
        names = {*ports, *own_ports}
        return Observed(
            switches=switches,
            groups=groups,
            ports=ports,
            own_ports=own_ports,
            chassis=ours,
            local_chassis=local,
            bindings={
                row.logical_port: _read_binding(row)
                for row in self._all(self.sb, "Port_Binding")
                if row.logical_port in names
            },
            responders=dict(self._read_responders(self._all(self.nb, "Logical_Router"))),
            revisions=revisions,
        )

    def observe_scope(self, scope: Scope) -> Observed:
        """Read the part of the databases that a few changes touch."""
        switches = {}
        for network_id in scope.networks:
            row = self._one(self.nb, "Logical_Switch", "name", SWITCH_PREFIX + network_id)
            if row is not None:
                switches[network_id] = _requested_key(row.other_config)
        groups, memberships = self._read_groups(scope.groups)
        ports: dict[str, RemotePort] = {}
        own_ports: dict[str, SwitchPort] = {}
        bindings = {}
        for port_id in scope.ports:
            row = self._one(self.nb, "Logical_Switch_Port", "name", port_id)
            if row is not None and SHADOW_MARK in row.external_ids:
                ports[port_id] = _read_port(row, memberships.get(row.uuid, frozenset()))
            elif row is not None:
                own_ports[port_id] = _read_own_port(row, "")
            binding = self._one(self.sb, "Port_Binding", "logical_port", port_id)
            if binding is not None:
                bindings[port_id] = _read_binding(binding)
        if scope.chassis is None:
            ours, local = self._read_chassis(self._all(self.sb, "Chassis"))
        else:
            rows = (self._one(self.sb, "Chassis", "name", name) for name in scope.chassis)
            ours, local = self._read_chassis(row for row in rows if row is not None)
        routers = (
            self._one(
                self.nb, "Logical_Router", "name", name_router(ResponderKey(network_id, mode))
            )
            for network_id in scope.responders
            for mode in RaMode
        )
        return Observed(
            switches=switches,
            groups=groups,
            ports=ports,
            own_ports=own_ports,
            chassis=ours,
            local_chassis=local,
            bindings=bindings,
            responders=dict(self._read_responders(row for row in routers if row is not None)),
        )

    def local_chassis(self) -> dict[str, LocalChassis]:
        """Return the hypervisors of this site by name."""
        return self._read_chassis(self._all(self.sb, "Chassis"))[1]

    def find_host(self, hostname: str) -> LocalChassis | None:
        """Find a hypervisor of this site by the name that Nova gives it."""
        for row in self._all(self.sb, "Chassis"):
            if row.hostname == hostname and not _is_remote(row):
                return _read_local(row)
        return None

    def find_binding(self, port_id: str) -> Binding | None:
        """Find what SB says of a port."""
        row = self._one(self.sb, "Port_Binding", "logical_port", port_id)
        return None if row is None else _read_binding(row)

    def datapath_keys(self, networks: Iterable[str]) -> dict[str, int]:
        """Return the tunnel keys that northd has given to the networks' switches, by network."""
        wanted = {SWITCH_PREFIX + network_id: network_id for network_id in networks}
        found = {}
        for row in self._all(self.sb, "Datapath_Binding"):
            network_id = wanted.get(row.external_ids.get("name", ""))
            if network_id is not None:
                found[network_id] = int(row.tunnel_key)
        return found

    def _read_switches(
        self, networks: Iterable[str]
    ) -> tuple[dict[str, int | None], dict[str, int], dict[str, SwitchPort]]:
        switches: dict[str, int | None] = {}
        revisions = {}
        own_ports = {}
        for network_id in networks:
            row = self._one(self.nb, "Logical_Switch", "name", SWITCH_PREFIX + network_id)
            if row is None:
                continue
            with self.nb.ovsdb_connection.lock:
                switches[network_id] = _requested_key(row.other_config)
                revisions[network_id] = _read_revision(row)
                for port in row.ports:
                    if SHADOW_MARK not in port.external_ids:
                        own_ports[port.name] = _read_own_port(port, network_id)
        return switches, revisions, own_ports

    def _read_groups(
        self, names: frozenset[str] | None
    ) -> tuple[frozenset[str], dict[Any, frozenset[str]]]:
        """Return the groups there are, and for each switch port row those it is in."""
        existing = set()
        members: dict[Any, set[str]] = {}
        for row in self._all(self.nb, "Port_Group"):
            existing.add(row.name)
            if names is not None and row.name not in names:
                continue
            for port in row.ports:
                members.setdefault(port.uuid, set()).add(row.name)
        return frozenset(existing), {uuid: frozenset(found) for uuid, found in members.items()}

    def _read_chassis(
        self, rows: Iterable[Any]
    ) -> tuple[dict[str, RemoteChassis], dict[str, LocalChassis]]:
        ours = {}
        local = {}
        for row in rows:
            if SHADOW_MARK in row.external_ids:
                ours[row.name] = _read_remote(row)
            else:
                local[row.name] = _read_local(row)
        return ours, local

    def _read_responders(self, routers: Iterable[Any]) -> Iterator[tuple[ResponderKey, Responder]]:
        for router in routers:
            mark = router.external_ids.get(RESPONDER_MARK)
            if mark is None:
                continue
            network_id, _, mode = mark.partition("/")
            key = ResponderKey(network_id, RaMode(mode))
            port_id = router.external_ids.get(RESPONDER_PORT_MARK, "")
            switch_port = self._one(self.nb, "Logical_Switch_Port", "name", port_id)
            yield key, _read_responder(key, router, switch_port, port_id)

    @staticmethod
    def _one(api: Any, table: str, column: str, value: str) -> Any:
        with api.ovsdb_connection.lock:
            return idlutils.row_by_value(api.idl, table, column, value, None)

    @staticmethod
    def _all(api: Any, table: str) -> Iterator[Any]:
        """Return every row, holding the lock for a few hundred of them at a time."""
        lock = api.ovsdb_connection.lock
        rows = api.tables[table].rows
        with lock:
            uuids = iter(list(rows))
        while chunk := list(itertools.islice(uuids, _ROWS_PER_LOCK)):
            with lock:
                for uuid in chunk:
                    if uuid in rows:
                        yield rows[uuid]


def _requested_key(options: Any) -> int | None:
    text = options.get(KEY_OPTION, "")
    return int(text) if text.isdigit() else None


def _read_port(row: Any, groups: frozenset[str]) -> RemotePort:
    options = dict(row.options)
    key = _requested_key(options)
    options.pop(KEY_OPTION, None)
    chassis = options.pop(CHASSIS_OPTION, "")
    return RemotePort(
        port_id=row.name,
        network_id=row.external_ids[SHADOW_MARK],
        site=SiteName(row.external_ids.get(SITE_MARK, "")),
        chassis=chassis,
        port_key=key or 0,
        addresses=frozenset(row.addresses),
        groups=groups,
        enabled=row.enabled != [False],
        intact=row.type == "remote" and not options and not row.port_security,
    )


def _read_own_port(row: Any, network_id: str) -> SwitchPort:
    return SwitchPort(
        network_id=network_id,
        type=row.type,
        port_key=_requested_key(row.options),
        addresses=frozenset(row.addresses),
        revision=_read_revision(row),
    )


def _read_revision(row: Any) -> int:
    text = row.external_ids.get(REVISION, "")
    return int(text) if text.isdigit() else -1


def _read_binding(row: Any) -> Binding:
    return Binding(
        tunnel_key=int(row.tunnel_key), chassis=row.chassis[0].name if row.chassis else ""
    )


def _is_remote(row: Any) -> bool:
    return bool(row.other_config.get(REMOTE_FLAG) == "true")


def _read_remote(row: Any) -> RemoteChassis:
    return RemoteChassis(
        name=row.name,
        hostname=row.hostname,
        encap_ip=row.encaps[0].ip if row.encaps else "",
        site=SiteName(row.external_ids.get(SITE_MARK, "")),
        intact=_is_remote(row) and [encap.type for encap in row.encaps] == ["geneve"],
    )


def _read_local(row: Any) -> LocalChassis:
    encaps = sorted(row.encaps, key=lambda encap: encap.type != "geneve")
    return LocalChassis(
        name=row.name, hostname=row.hostname, encap_ips=tuple(encap.ip for encap in encaps)
    )


def _read_responder(key: ResponderKey, router: Any, switch_port: Any, port_id: str) -> Responder:
    port = router.ports[0] if len(router.ports) == 1 else None
    advertised = dict(port.ipv6_ra_configs) if port is not None else {}
    mtu = advertised.pop("mtu", "")
    options = dict(switch_port.options) if switch_port is not None else {}
    return Responder(
        key=key,
        port_id=port_id,
        port_key=_requested_key(options) or 0,
        mac=port.mac if port is not None else "",
        networks=frozenset(port.networks if port is not None else ()),
        mtu=int(mtu) if mtu.isdigit() else 0,
        intact=(
            port is not None
            and advertised == ra_settings(key)
            and switch_port is not None
            and switch_port.type == "router"
            and options.get("router-port") == port.name
        ),
    )


def name_router(key: ResponderKey) -> str:
    """Return the name of a responder's logical router."""
    return f"isthmus-ra-{key.network_id}-{key.mode.value}"


def ra_settings(key: ResponderKey) -> dict[str, str]:
    """Return a responder's ipv6_ra_configs, but for the MTU.

    A router that a tenant runs itself wins: ours has the lowest preference (RFC 4191 2.1).
    """
    return {
        "address_mode": key.mode.value,
        "router_preference": "LOW",
        "send_periodic": "false",
    }
