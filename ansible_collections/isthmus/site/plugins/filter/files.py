"""Filters that write what services read, by the renderers that the lab of Isthmus has.

They run on the builder, in the Python in which `isthmus build` runs Ansible.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

try:
    from isthmus.build.configure import compute_files, tier_files
except ImportError as exc:  # ansible-doc and ansible-lint load it anywhere
    MISSING: ImportError | None = exc
else:
    MISSING = None


def _tier(values: Mapping[str, Any]) -> Any:
    if MISSING is not None:
        from ansible.errors import AnsibleFilterError

        raise AnsibleFilterError("the package isthmus is not where Ansible runs") from MISSING
    plain = {str(name): _plain(value) for name, value in values.items()}
    return tier_files.Tier(**plain)


def _plain(value: Any) -> Any:
    """Take off what Ansible notes at values of where they come from; YAML cannot be written of it."""
    if isinstance(value, str):
        return str(value)
    return tuple(map(_plain, value)) if isinstance(value, list) else value


def _texts(values: Mapping[str, Any]) -> dict[str, str]:
    return {str(name): str(value) for name, value in values.items()}


def keystone_files(tier: Mapping[str, Any], passwords: Mapping[str, str]) -> list[dict[str, str]]:
    """List the files of a Keystone: path and text."""
    found = tier_files.list_keystone_files(_tier(tier), _texts(passwords))
    return [dataclasses.asdict(one) for one in found]


def neutron_files(
    tier: Mapping[str, Any], passwords: Mapping[str, str], users: Mapping[str, str], paste: str
) -> list[dict[str, str]]:
    """List the files of a tier's Neutron: path and text."""
    found = tier_files.list_neutron_files(_tier(tier), _texts(passwords), _texts(users), str(paste))
    return [dataclasses.asdict(one) for one in found]


def xjob_file(tier: Mapping[str, Any], passwords: Mapping[str, str]) -> dict[str, str]:
    """Return the file with Xjob's logins: path and text."""
    return dataclasses.asdict(tier_files.make_xjob_file(_tier(tier), _texts(passwords)))


def rabbitmq_files(
    tier: Mapping[str, Any], passwords: Mapping[str, str], words: str = ""
) -> list[dict[str, str]]:
    """List the files of a site's RabbitMQ: path and text."""
    found = compute_files.list_rabbitmq_files(_tier(tier), _texts(passwords), str(words))
    return [dataclasses.asdict(one) for one in found]


def placement_files(tier: Mapping[str, Any], passwords: Mapping[str, str]) -> list[dict[str, str]]:
    """List the files of a site's Placement: path and text."""
    found = compute_files.list_placement_files(_tier(tier), _texts(passwords))
    return [dataclasses.asdict(one) for one in found]


def glance_files(
    tier: Mapping[str, Any], passwords: Mapping[str, str], paste: str
) -> list[dict[str, str]]:
    """List the files of a site's Glance: path and text."""
    found = compute_files.list_glance_files(_tier(tier), _texts(passwords), str(paste))
    return [dataclasses.asdict(one) for one in found]


def nova_files(
    tier: Mapping[str, Any],
    passwords: Mapping[str, str],
    users: Mapping[str, str],
    paste: str,
    workers: int,
) -> list[dict[str, str]]:
    """List the files of a site's Nova: path and text."""
    found = compute_files.list_nova_files(
        _tier(tier), _texts(passwords), _texts(users), str(paste), int(workers)
    )
    return [dataclasses.asdict(one) for one in found]


def compute_file(
    tier: Mapping[str, Any], passwords: Mapping[str, str], host: Mapping[str, str], driver: str
) -> dict[str, str]:
    """Return the file of a hypervisor's nova-compute: path and text."""
    found = compute_files.make_compute_file(
        _tier(tier), _texts(passwords), _texts(host), str(driver)
    )
    return dataclasses.asdict(found)


def people(
    tier: Mapping[str, Any], addresses: Mapping[str, str], passwords: Mapping[str, str]
) -> dict[str, Any]:
    """Decide users, roles and catalogue of the Keystone."""
    return tier_files.plan_people(_tier(tier), _texts(addresses), _texts(passwords))


def clouds(tier: Mapping[str, Any], passwords: Mapping[str, str]) -> str:
    """Write the administrator's clouds.yaml."""
    return tier_files.render_clouds(_tier(tier), _texts(passwords))


def databases(tier: Mapping[str, Any], passwords: Mapping[str, str]) -> list[dict[str, str]]:
    """List the databases of a tier, with their users and passwords."""
    return [
        dataclasses.asdict(one) for one in tier_files.list_databases(_tier(tier), _texts(passwords))
    ]


def database_sql(wanted: list[Mapping[str, str]]) -> str:
    """Write the SQL that makes databases and their users."""
    return tier_files.render_database_sql([tier_files.Database(**_texts(one)) for one in wanted])


class FilterModule:
    """What Ansible asks for filters."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Return the filters by name."""
        found: tuple[Callable[..., Any], ...] = (
            keystone_files,
            neutron_files,
            xjob_file,
            rabbitmq_files,
            placement_files,
            glance_files,
            nova_files,
            compute_file,
            people,
            clouds,
            databases,
            database_sql,
        )
        return {one.__name__: one for one in found}
