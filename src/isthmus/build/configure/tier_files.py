"""What the services of a tier read on its machines; roles put these files there as they are. Pure.

The texts come from the renderers that the lab has (`isthmus.services`), so that what is tested
there is what runs on machines.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from isthmus.services import compute, identity, logins, render
from isthmus.services.identity import Endpoint, Interface

NEUTRON_FOLDER, KEYSTONE_FOLDER = Path("/etc/neutron"), Path("/etc/keystone")
NEUTRON_STATE = Path("/var/lib/neutron")
MEMCACHED = "127.0.0.1:11211"
KEYSTONE_PORT, NEUTRON_PORT = 5000, 9696
NORTHBOUND_PORT, SOUTHBOUND_PORT = 6641, 6642
PLACEMENT_PORT, GLANCE_PORT, NOVA_PORT = 8778, 9292, 8774
#: Of bcrypt, as Keystone has it by itself.
HASH_ROUNDS = 12
#: Every network that a tier can have at a time; writing the table takes seconds, once.
VNI_RANGE = "1:65536"
#: What a site may have besides Neutron, each with a database of its own, or several.
COMPUTE = ("placement", "glance", "nova")
_SOCKET = "/run/mysqld/mysqld.sock"
#: Of the databases that have it in the lab: their indexes are made for characters of three bytes.
_OLD_CHARSET = "utf8mb3"


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
    with_placement: tuple[str, ...] = ()  #: names of the sites that have one
    with_glance: tuple[str, ...] = ()
    with_nova: tuple[str, ...] = ()

    @property
    def is_central(self) -> bool:
        """Tell whether it is the central tier."""
        return self.name == self.central

    @property
    def has_nova(self) -> bool:
        """Tell whether it is a site that has a Nova."""
        return self.name in self.with_nova

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


@dataclass(frozen=True, slots=True)
class Database:
    """A database of a machine's MariaDB; several may have one user."""

    name: str
    user: str
    password: str = field(repr=False)
    charset: str = "utf8mb4"


def queue_user(site: str) -> str:
    """Return under which name the password of a site's RabbitMQ is kept."""
    return f"rabbitmq-{site}"


def password_names(sites: Sequence[str], central: str, *, compute: bool = False) -> tuple[str, ...]:
    """List every password that a build makes; `compute` where sites have more than Neutron."""
    tiers = (central, *sites)
    databases = (database_user(identity.neutron_user(tier)) for tier in tiers)
    more = (
        name
        for site in sites
        if compute
        for name in (*(database_user(f"{one}-{site}") for one in COMPUTE), queue_user(site))
    )
    return (
        identity.USER_ADMIN,
        *identity.service_users(sites, central, compute=compute),
        database_user("keystone"),
        *databases,
        *more,
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
    places = (
        ("placement", tier.with_placement, f"{PLACEMENT_PORT}"),
        ("image", tier.with_glance, f"{GLANCE_PORT}"),
        ("compute", tier.with_nova, f"{NOVA_PORT}/v2.1"),
    )
    endpoints += [
        Endpoint(kind, site, interface, f"http://{addresses[site]}:{rest}")
        for kind, sites, rest in places
        for site in sites
        for interface in (Interface.PUBLIC, Interface.INTERNAL)
    ]
    planned = identity.plan_identity(
        tier.sites,
        endpoints,
        passwords,
        tier.central,
        compute=any(sites for _, sites, _ in places),
        people=False,
    )
    return planned.to_dict()


def list_keystone_files(tier: Tier, passwords: Mapping[str, str]) -> list[File]:
    """Return what Keystone reads."""
    server = render.KeystoneServer(
        database=database_url("keystone", "keystone", passwords[database_user("keystone")]),
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
        database=database_url("neutron", "neutron", passwords[database_user(own)]),
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
        extra=_say_more(tier, passwords),
    )
    services = [users[own], *([users[identity.nova_user(tier.name)]] if tier.has_nova else [])]
    return [
        File(str(NEUTRON_FOLDER / "neutron.conf"), render.render_neutron(server)),
        File(str(paste_file), render.render_paste(paste)),
        File(str(policy_file), render.render_policy(services)),
    ]


def make_xjob_file(tier: Tier, passwords: Mapping[str, str]) -> File:
    """Return what Xjob reads besides central's Neutron."""
    text = logins.render_xjob(
        tier.sites, central=tier.central, passwords=passwords, auth_url=tier.auth_url
    )
    return File(str(NEUTRON_FOLDER / "xjob.conf"), text)


def list_databases(tier: Tier, passwords: Mapping[str, str]) -> list[Database]:
    """List the databases of a tier."""
    own = passwords[database_user(identity.neutron_user(tier.name))]
    found = [Database("neutron", "neutron", own)]
    if tier.is_central:
        found.append(Database("keystone", "keystone", passwords[database_user("keystone")]))
    names = {
        "placement": (tier.with_placement, (compute.PLACEMENT,)),
        "glance": (tier.with_glance, (compute.GLANCE,)),
        "nova": (tier.with_nova, (compute.API, compute.CELL0, compute.cell_database(1))),
    }
    for service, (sites, databases) in names.items():
        if tier.name in sites:
            password = passwords[database_user(f"{service}-{tier.name}")]
            found += [Database(name, service, password, _OLD_CHARSET) for name in databases]
    return found


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


def render_database_sql(databases: Sequence[Database]) -> str:
    """Write the SQL that makes databases and their users."""
    passwords = {one.user: one.password for one in databases}
    lines = [
        # What replaces a user takes its rights away: they are given after that.
        f"CREATE OR REPLACE USER {user}@localhost IDENTIFIED BY {json.dumps(password)};"
        for user, password in passwords.items()
    ]
    for one in databases:
        lines += [
            f"CREATE DATABASE IF NOT EXISTS {one.name} CHARACTER SET {one.charset};",
            f"GRANT ALL ON {one.name}.* TO {one.user}@localhost;",
        ]
    return "\n".join(lines)


def _say_more(tier: Tier, passwords: Mapping[str, str]) -> render.Sections:
    own = identity.neutron_user(tier.name)
    events = (
        compute.nova_events(tier.name, own, passwords[own], tier.auth_url) if tier.has_nova else {}
    )
    return {
        **events,
        "DEFAULT": {**events.get("DEFAULT", {}), "global_physnet_mtu": tier.mtu},
        "ml2_type_geneve": {"vni_ranges": VNI_RANGE},
        "ml2_type_vlan": {"network_vlan_ranges": ""},
    }


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


def database_url(name: str, user: str, password: str) -> str:
    """Return the SQLAlchemy URL of a database of the same machine."""
    where = f"unix_socket={_SOCKET}&charset=utf8mb4"
    return f"mysql+pymysql://{user}:{password}@localhost/{name}?{where}"
