"""What the services of a tier read on its machines; roles put these files there as they are. Pure.

The texts come from the renderers that the lab has (`isthmus.services`), so that what is tested
there is what runs on machines.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from isthmus.services import identity, logins, render
from isthmus.services.identity import Endpoint, Interface

NEUTRON_FOLDER, KEYSTONE_FOLDER = Path("/etc/neutron"), Path("/etc/keystone")
NEUTRON_STATE = Path("/var/lib/neutron")
MEMCACHED = "127.0.0.1:11211"
KEYSTONE_PORT, NEUTRON_PORT = 5000, 9696
NORTHBOUND_PORT, SOUTHBOUND_PORT = 6641, 6642
#: Of bcrypt, as Keystone has it by itself.
HASH_ROUNDS = 12
#: Every network that a tier can have at a time; writing the table takes seconds, once.
VNI_RANGE = "1:65536"
_SOCKET = "/run/mysqld/mysqld.sock"


@dataclass(frozen=True, slots=True, kw_only=True)
class Tier:
    """Central or a site, as its machines have to know it."""

    name: str
    number: int  #: of its MAC addresses; no two tiers have the same
    address: str  #: where its API answers
    central: str  #: name of the central tier
    central_address: str
    sites: tuple[str, ...]  #: names of all sites
    mtu: int = 1500  #: least MTU between hypervisors

    @property
    def is_central(self) -> bool:
        """Tell whether it is the central tier."""
        return self.name == self.central

    @property
    def auth_url(self) -> str:
        """Return the Keystone of all tiers."""
        return f"http://{self.central_address}:{KEYSTONE_PORT}/v3"


@dataclass(frozen=True, slots=True)
class File:
    """A file on a machine; those of a service may be read by it and by root alone."""

    path: str
    text: str


def database_user(service: str) -> str:
    """Return under which name the password of a service's database is kept."""
    return f"database-{service}"


def password_names(sites: Sequence[str], central: str) -> tuple[str, ...]:
    """List every password that a build makes."""
    tiers = (central, *sites)
    databases = (database_user(identity.neutron_user(tier)) for tier in tiers)
    return (
        identity.USER_ADMIN,
        *identity.service_users(sites, central),
        database_user("keystone"),
        *databases,
    )


def plan_people(
    tier: Tier, addresses: Mapping[str, str], passwords: Mapping[str, str]
) -> dict[str, Any]:
    """Decide users, roles and catalogue, as `isthmus.services.seed` reads them.

    Args:
        tier: the central one.
        addresses: of each tier's Neutron, by its name.
        passwords: by name.
    """
    endpoints = [
        Endpoint("network", name, interface, f"http://{address}:{NEUTRON_PORT}")
        for name, address in addresses.items()
        for interface in (Interface.PUBLIC, Interface.INTERNAL)
    ]
    endpoints += [
        Endpoint("identity", tier.central, interface, tier.auth_url)
        for interface in (Interface.PUBLIC, Interface.INTERNAL)
    ]
    planned = identity.plan_identity(tier.sites, endpoints, passwords, tier.central, people=False)
    return planned.to_dict()


def list_keystone_files(tier: Tier, passwords: Mapping[str, str]) -> list[File]:
    """Return what Keystone reads."""
    server = render.KeystoneServer(
        database=_database_url("keystone", passwords[database_user("keystone")]),
        keys_dir=KEYSTONE_FOLDER,
        public_url=tier.auth_url.removesuffix("/v3"),
        hash_rounds=HASH_ROUNDS,
    )
    return [File(str(KEYSTONE_FOLDER / "keystone.conf"), render.render_keystone(server))]


def list_neutron_files(
    tier: Tier, passwords: Mapping[str, str], users: Mapping[str, str], paste: str
) -> list[File]:
    """Return what a tier's Neutron reads.

    Args:
        tier: whose.
        passwords: by name.
        users: ids in Keystone, by name.
        paste: Neutron's own api-paste.ini.
    """
    own = identity.neutron_user(tier.name)
    paste_file, policy_file = NEUTRON_FOLDER / "api-paste.ini", NEUTRON_FOLDER / "policy.yaml"
    server = render.NeutronServer(
        flavour=render.Flavour.CENTRAL if tier.is_central else render.Flavour.LOCAL,
        host=f"{tier.name}-api",
        state_dir=NEUTRON_STATE,
        database=_database_url("neutron", passwords[database_user(own)]),
        paste_file=paste_file,
        policy_file=policy_file,
        base_mac=f"fa:16:{tier.number:02x}:00:00:00",
        auth=render.Auth(
            url=tier.auth_url,
            username=own,
            password=passwords[own],
            memcached=MEMCACHED,
            region=tier.central,
        ),
        ovn=None
        if tier.is_central
        else render.Ovn(
            northbound=f"tcp:127.0.0.1:{NORTHBOUND_PORT}",
            southbound=f"tcp:{tier.address}:{SOUTHBOUND_PORT}",
        ),
        isthmus={"underlay_mtu": tier.mtu}
        if tier.is_central
        else _site_options(tier, passwords, users),
        extra={
            "DEFAULT": {"global_physnet_mtu": tier.mtu},
            "ml2_type_geneve": {"vni_ranges": VNI_RANGE},
            "ml2_type_vlan": {"network_vlan_ranges": ""},
        },
    )
    return [
        File(str(NEUTRON_FOLDER / "neutron.conf"), render.render_neutron(server)),
        File(str(paste_file), render.render_paste(paste)),
        File(str(policy_file), render.render_policy([users[own]])),
    ]


def make_xjob_file(tier: Tier, passwords: Mapping[str, str]) -> File:
    """Return what Xjob reads besides central's Neutron."""
    text = logins.render_xjob(
        tier.sites, central=tier.central, passwords=passwords, auth_url=tier.auth_url
    )
    return File(str(NEUTRON_FOLDER / "xjob.conf"), text)


def list_databases(tier: Tier, passwords: Mapping[str, str]) -> dict[str, str]:
    """Return the password of each database of a tier, by the database's name."""
    own = {"neutron": passwords[database_user(identity.neutron_user(tier.name))]}
    if tier.is_central:
        own["keystone"] = passwords[database_user("keystone")]
    return own


def render_clouds(tier: Tier, passwords: Mapping[str, str]) -> str:
    """Write a `clouds.yaml` of the administrator, with an entry for each tier."""
    login = {
        "auth_url": tier.auth_url,
        "username": identity.USER_ADMIN,
        "password": passwords[identity.USER_ADMIN],
        "project_name": identity.PROJECT_ADMIN,
        "user_domain_id": "default",
        "project_domain_id": "default",
    }
    clouds = {
        name: {"region_name": name, "interface": "internal", "auth": dict(login)}
        for name in (tier.central, *tier.sites)
    }
    return yaml.safe_dump({"clouds": clouds}, sort_keys=False)


def render_database_sql(databases: Mapping[str, str]) -> str:
    """Write the SQL that makes databases and their users.

    Args:
        databases: name of the database, which is its user's too, to password.
    """
    lines = []
    for name, password in databases.items():
        quoted = json.dumps(password)
        lines += [
            f"CREATE DATABASE IF NOT EXISTS {name} CHARACTER SET utf8mb4;",
            f"CREATE OR REPLACE USER {name}@localhost IDENTIFIED BY {quoted};",
            f"GRANT ALL ON {name}.* TO {name}@localhost;",
        ]
    return "\n".join(lines)


def _site_options(
    tier: Tier, passwords: Mapping[str, str], users: Mapping[str, str]
) -> dict[str, object]:
    return logins.site_options(
        tier.name,
        central=tier.central,
        passwords=passwords,
        users=users,
        auth_url=tier.auth_url,
    )


def _database_url(name: str, password: str) -> str:
    where = f"unix_socket={_SOCKET}&charset=utf8mb4"
    return f"mysql+pymysql://{name}:{password}@localhost/{name}?{where}"
