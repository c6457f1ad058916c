"""The inventory: hosts in groups by site, rack, role and service, by what the fleet file says."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import yaml

from isthmus.build.configure.site_variables import service_address, tunnel_address
from isthmus.model.rack.fleet import Fleet
from isthmus.model.rack.machine import Machine

#: Where services' Python environment is on machines, if nobody says otherwise.
ENVIRONMENT = "/opt/isthmus"


def group_name(kind: str, name: str) -> str:
    """Return a group's name; Ansible takes letters, digits and underscores."""
    return f"{kind}_{name}".replace("-", "_")


def make_inventory(
    fleet: Fleet,
    machines: Sequence[Machine],
    ready: Collection[str],
    variables: Mapping[str, Mapping[str, object]] | None = None,
) -> dict[str, Any]:
    """Make the inventory of the machines that are ready.

    Args:
        fleet: the file.
        machines: of `resolve_fleet`.
        ready: names of those that run; others are in no group.
        variables: by site, what the roles are told of it.
    """
    chosen = [one for one in machines if one.name in ready]
    groups: dict[str, dict[str, Any]] = {}

    def join(group: str, name: str) -> None:
        groups.setdefault(group, {"hosts": {}})["hosts"][name] = {}

    for one in chosen:
        join(group_name("site", one.site), one.name)
        join(group_name("rack", f"{one.site}_{one.rack}"), one.name)
        for role in one.roles:
            join(group_name("role", role), one.name)
    for service, roles in fleet.services.items():
        for one in chosen:
            if set(roles) & set(one.roles):
                join(group_name("service", service), one.name)
    for site in fleet.sites:
        group = groups.get(group_name("site", site.name))
        if group is not None:
            own = (variables or {}).get(site.name, {})
            group["vars"] = {**_site_variables(site.ha), **own}
    return {
        "all": {
            "vars": {"isthmus_environment": ENVIRONMENT},
            "hosts": {one.name: _host_variables(one) for one in chosen},
            "children": {name: groups[name] for name in sorted(groups)},
        }
    }


def _host_variables(machine: Machine) -> dict[str, Any]:
    return {
        "ansible_host": machine.address,
        "ansible_user": "root",
        # Asking which Python there is costs a round trip a host.
        "ansible_python_interpreter": "/usr/bin/python3",
        "isthmus_site": machine.site,
        "isthmus_rack": machine.rack,
        "isthmus_service_address": service_address(machine),
        "isthmus_tunnel_address": tunnel_address(machine),
        "isthmus_addresses": {machine.network.name: machine.address, **dict(machine.addresses)},
    }


def _site_variables(ha: Any) -> Mapping[str, Any]:
    if ha is None:
        return {"isthmus_controllers": 1}
    return {"isthmus_controllers": ha.controllers, "isthmus_vip": ha.vip}


def render_inventory(inventory: Mapping[str, Any]) -> str:
    """Write the inventory."""
    return yaml.safe_dump(dict(inventory), sort_keys=False, width=100)
