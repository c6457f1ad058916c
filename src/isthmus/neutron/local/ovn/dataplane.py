"""What the rest of a site's Neutron asks of its data plane.

The other way round, the data plane asks three things of it. A network's row in `isthmus_datapaths`
and its lease of port keys are there *before* the network is made, because the metadata port is made
with the network. A port that is created when no key is left fails with `MechanismDriverError`; its
`inner_exceptions` hold an `Exhausted` whose fields name kind and pool, and `count_port_keys` tells
beforehand. And `LocalMechanismDriver.when_keys_run_low` is given a callback that fetches the next
block.
"""

from typing import Any

from neutron_lib.plugins import directory

from isthmus import errors
from isthmus.dataplane.capability import parse_capability
from isthmus.dataplane.ovn_diff import diff_rows
from isthmus.model.dataplane.ovn import Binding, LocalChassis, Observed, Plan
from isthmus.neutron.db.session import reading
from isthmus.neutron.local.lease import port_keys
from isthmus.neutron.local.ovn import desired_rows
from isthmus.neutron.local.ovn.reconciler import Reconciler
from isthmus.store.ports import port_key, shadow

_DRIVER = "isthmus_local"


def get_driver() -> Any:
    """Give this process's mechanism driver."""
    return directory.get_plugin().mechanism_manager.mech_drivers[_DRIVER].obj


def get_reconciler() -> Reconciler:
    """Give the thread that keeps OVN's rows.

    Raises:
        Unreachable: this process has none: it is no API process, or has not finished starting.
    """
    found: Reconciler | None = get_driver().reconciler
    if found is None:
        raise errors.Unreachable("this process has no connection to OVN yet")
    return found


def locate(host: str) -> LocalChassis | None:
    """Find the hypervisor of this site that Nova calls so; its first encap_ip is its tunnel's.

    Raises:
        Unreachable: this process has no connection to OVN.
    """
    return get_reconciler().rows().find_host(host)


def count_port_keys(context: Any, network_id: str) -> int | None:
    """Count the port keys left of a network; None where it is not stretched."""
    with reading(context) as connection:
        if network_id not in desired_rows.list_networks(connection):
            return None
        return port_keys.count_left(connection, network_id)


def collect(context: Any) -> dict[str, Any]:
    """Give the part "ovn" of this site's holdings: what OVN holds of stretched networks.

    Returns:
        JSON-able lists: `switches` (network_id, requested_key, key), `ports` (id, network_id, type,
        requested_key, key, addresses, chassis: everything that is not a shadow), `shadows` (the
        same, and site, groups), `chassis` (name, hostname, encap_ips, site: "" for its own),
        `responders`, `port_keys` (port_id, network_id, key: what the table says), and `drift`: what
        the next sweep would change, one (what, id) each. Also `version` and `shadow_limit`.

    Raises:
        Unreachable: this process has no connection to OVN.
    """
    rows = get_reconciler().rows()
    with reading(context) as connection:
        networks = desired_rows.list_networks(connection)
    observed = rows.observe(networks)
    datapath_keys = rows.datapath_keys(networks)
    with reading(context) as connection:
        desired = desired_rows.read_all(connection, observed.groups)
        keys = port_key.list_keys(connection)
    capability = parse_capability(rows.northd_version())
    return {
        "version": capability.version,
        "shadow_limit": capability.shadow_limit,
        "switches": [
            {"network_id": one, "requested_key": key, "key": datapath_keys.get(one)}
            for one, key in sorted(observed.switches.items())
        ],
        "ports": _list_own_ports(observed),
        "shadows": _list_shadows(observed),
        "chassis": _list_chassis(observed),
        "responders": [
            {
                "network_id": key.network_id,
                "mode": key.mode.value,
                "port_id": one.port_id,
                "networks": sorted(one.networks),
            }
            for key, one in sorted(observed.responders.items())
        ],
        "port_keys": [
            {"port_id": port_id, "network_id": network_id, "key": key}
            for port_id, (network_id, key) in sorted(keys.items())
        ],
        "drift": list_drift(diff_rows(desired, observed, capability)),
    }


def collect_shadows(context: Any) -> list[dict[str, Any]]:
    """Give the part "shadows" of the holdings: the site's table."""
    with reading(context) as connection:
        return [one.to_dict() for one in shadow.list_shadows(connection)]


def list_drift(plan: Plan) -> list[dict[str, str]]:
    """Say what a plan would change, one line a row."""
    named = {
        "chassis missing or different": [one.name for one in plan.put_chassis],
        "shadow port missing or different": [one.port_id for one in plan.put_ports],
        "shadow port not in its port group": [f"{group} {one}" for group, one in plan.join_groups],
        "shadow port in a foreign port group": [
            f"{group} {one}" for group, one in plan.leave_groups
        ],
        "shadow port too many": [one for _, one in plan.remove_ports],
        "shadow port not bound": [one for one, _ in plan.bind],
        "network without its datapath key": [one for one, _ in plan.set_switch_keys],
        "port without its key": [one for one, _ in plan.set_port_keys],
        "responder missing or different": [one.key.network_id for one in plan.put_responders],
        "responder too many": [one.key.network_id for one in plan.remove_responders],
        "chassis too many": list(plan.remove_chassis),
    }
    return [{"what": what, "id": one} for what, ids in named.items() for one in ids]


def _binding(binding: Binding | None) -> dict[str, Any]:
    return {
        "key": None if binding is None else binding.tunnel_key,
        "chassis": "" if binding is None else binding.chassis,
    }


def _list_own_ports(observed: Observed) -> list[dict[str, Any]]:
    return [
        {
            "id": port_id,
            "network_id": one.network_id,
            "type": one.type,
            "requested_key": one.port_key,
            "addresses": sorted(one.addresses),
            **_binding(observed.bindings.get(port_id)),
        }
        for port_id, one in sorted(observed.own_ports.items())
    ]


def _list_shadows(observed: Observed) -> list[dict[str, Any]]:
    return [
        {
            "id": port_id,
            "network_id": one.network_id,
            "type": "remote",
            "site": one.site,
            "requested_key": one.port_key,
            "requested_chassis": one.chassis,
            "addresses": sorted(one.addresses),
            "groups": sorted(one.groups),
            **_binding(observed.bindings.get(port_id)),
        }
        for port_id, one in sorted(observed.ports.items())
    ]


def _list_chassis(observed: Observed) -> list[dict[str, Any]]:
    remote = [
        {"name": one.name, "hostname": one.hostname, "encap_ips": [one.encap_ip], "site": one.site}
        for _, one in sorted(observed.chassis.items())
    ]
    local = [
        {"name": one.name, "hostname": one.hostname, "encap_ips": list(one.encap_ips), "site": ""}
        for _, one in sorted(observed.local_chassis.items())
    ]
    return local + remote
