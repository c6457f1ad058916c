"""The difference between the OVN rows a site should have and those it has. Pure.

A plan is ordered by what rows refer to: chassis before the ports on them, ports before their
bindings and groups, removals of chassis last. Rows whose switch is missing are left out: Neutron
makes switches, and the next comparison finds them there.
"""

import dataclasses

from isthmus.model.dataplane.ovn import Capability, Desired, Observed, Plan, RemotePort


def diff_rows(desired: Desired, observed: Observed, capability: Capability) -> Plan:
    """Compute the changes that turn the observed rows into the desired ones.

    Args:
        desired: what should be, within some scope.
        observed: what is, within the same scope: a row of ours that is observed and not desired
            goes.
        capability: what this OVN does by itself.
    """
    ports = {
        port.port_id: port
        for port in desired.ports.values()
        if port.network_id in observed.switches and port.port_id not in observed.own_ports
    }
    chassis = {
        name: row for name, row in desired.chassis.items() if name not in observed.local_chassis
    }
    responders = {
        key: row for key, row in desired.responders.items() if key.network_id in observed.switches
    }
    return Plan(
        put_chassis=tuple(
            row for name, row in sorted(chassis.items()) if observed.chassis.get(name) != row
        ),
        put_ports=tuple(
            port
            for port_id, port in sorted(ports.items())
            if not _same_row(port, observed.ports.get(port_id))
        ),
        join_groups=_join(ports, observed),
        leave_groups=_leave(ports, observed),
        remove_ports=tuple(
            (port.network_id, port_id)
            for port_id, port in sorted(observed.ports.items())
            if port_id not in ports
        ),
        bind=() if capability.binds_remote else _bind(ports, observed),
        set_switch_keys=tuple(
            (network_id, key)
            for network_id, key in sorted(desired.switch_keys.items())
            if observed.switches.get(network_id, key) != key
        ),
        set_port_keys=tuple(
            (port_id, key)
            for port_id, key in sorted(desired.port_keys.items())
            if port_id in observed.own_ports and observed.own_ports[port_id].port_key != key
        ),
        put_responders=tuple(
            row for key, row in sorted(responders.items()) if observed.responders.get(key) != row
        ),
        remove_responders=tuple(
            row for key, row in sorted(observed.responders.items()) if key not in responders
        ),
        remove_chassis=tuple(name for name in sorted(observed.chassis) if name not in chassis),
    )


def _same_row(port: RemotePort, row: RemotePort | None) -> bool:
    """Compare all but the groups, which are rows of their own."""
    return row is not None and dataclasses.replace(port, groups=row.groups) == row


def _join(ports: dict[str, RemotePort], observed: Observed) -> tuple[tuple[str, str], ...]:
    return tuple(
        (group, port_id)
        for port_id, port in sorted(ports.items())
        for group in sorted(port.groups - _groups_kept(port, observed))
    )


def _groups_kept(port: RemotePort, observed: Observed) -> frozenset[str]:
    """Return the groups a port is in and stays in; a port that changes switches is made anew."""
    row = observed.ports.get(port.port_id)
    if row is None or row.network_id != port.network_id:
        return frozenset()
    return row.groups


def _leave(ports: dict[str, RemotePort], observed: Observed) -> tuple[tuple[str, str], ...]:
    return tuple(
        (group, port_id)
        for port_id, port in sorted(ports.items())
        for group in sorted(_groups_kept(port, observed) - port.groups)
    )


def _bind(ports: dict[str, RemotePort], observed: Observed) -> tuple[tuple[str, str], ...]:
    """Bind the ports that northd has seen; the others are bound when their rows appear."""
    return tuple(
        (port_id, port.chassis)
        for port_id, port in sorted(ports.items())
        if port_id in observed.bindings and observed.bindings[port_id].chassis != port.chassis
    )
