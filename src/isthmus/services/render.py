"""What a tier's services read: `neutron.conf`, `keystone.conf` and `memcached`'s arguments.

Pure: from a frozen description to text. Nothing here knows a namespace or starts anything, so a
test that runs one Neutron on loopback, the lab and a build render with the same functions.
"""

import enum
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

#: The filters that Isthmus asks for, behind `request_id` in the pipeline.
PASTE_FILTERS = """[filter:isthmus_refusals]
paste.filter_factory = isthmus.neutron.api.refusals:filter_factory

[filter:sizelimit]
paste.filter_factory = oslo_middleware:RequestBodySizeLimiter.factory
"""

Sections = Mapping[str, Mapping[str, object]]

#: Geneve over IPv4 costs 58 bytes: Neutron counts 20 for the outer IPv4 header, so 38 remain
#: (research of 2026-11: a 1442-byte packet passes over a 1500-byte underlay, 1443 does not).
GENEVE_HEADER_BYTES = 38
UNDERLAY_MTU = 1500
#: Neutron writes a row for each at its first start; for 65,536 a type that is more than half of the
#: work of a start.
VNI_RANGE = "1:2048"
#: What every site calls its way out, and the VLANs that a site chooses from, and central.
#: In a lab it is also called `name_own_network(site)`, which no other site has.
PHYSICAL_NETWORK = "public"
#: What sites call the fabric that they share; nobody chooses a VLAN of it by himself.
SHARED_NETWORK = "fabric"
SITE_VLANS = f"physnet1:100:200,{PHYSICAL_NETWORK}:100:199,{SHARED_NETWORK}"
_CENTRAL_VLANS = f"physnet1:201:300,{PHYSICAL_NETWORK}:200:299"
#: How long SQLite waits for another writer, in seconds; far above what a request may take.
SQLITE_BUSY_S = 60
#: Largest request that an API reads: a batch of 50 objects is some hundreds of KiB at most.
MOST_BODY_BYTES = 8 * 2**20


class Flavour(enum.StrEnum):
    """Which plugins a Neutron server loads."""

    CENTRAL = "central"  #: ours for the central tier: no data plane
    LOCAL = "local"  #: ours for a site: ML2/OVN under a thin subclass
    STOCK = "stock"  #: plain ML2/OVN, the baseline of benches and of conformance


@dataclass(frozen=True, slots=True)
class _Plugins:
    core: str
    mechanisms: str
    services: str
    ipam: str
    extensions: str = "port_security,qos,dns"


_PLUGINS = {
    Flavour.CENTRAL: _Plugins(
        core="isthmus_central",
        mechanisms="isthmus_central",
        services="isthmus_central,isthmus_central_router,isthmus_central_port_forwarding,"
        "isthmus_central_qos,isthmus_central_trunk,segments",
        ipam="isthmus_central",
    ),
    Flavour.LOCAL: _Plugins(
        core="isthmus_local",
        mechanisms="ovn,isthmus_local",
        services="isthmus_local,isthmus_local_router,isthmus_local_qos,isthmus_local_trunk,"
        "segments",
        ipam="isthmus_local",
        extensions="port_security,qos,isthmus_keys,dns",
    ),
    Flavour.STOCK: _Plugins(
        core="ml2",
        mechanisms="ovn",
        services="ovn-router,qos,trunk,segments",
        ipam="internal",
    ),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Auth:
    """How a service checks tokens, and who it is when it does."""

    url: str  #: Keystone, up to and with /v3
    username: str
    password: str = field(repr=False)
    project: str = "service"
    memcached: str  #: host:port of the cache of checked tokens
    region: str = ""  #: whose Keystone checks tokens; without it, the catalogue's first one


@dataclass(frozen=True, slots=True, kw_only=True)
class Ovn:
    """Where a site's northbound and southbound databases answer."""

    northbound: str  #: e.g. tcp:100.65.1.1:6641 or unix:/run/nb.sock
    southbound: str


@dataclass(frozen=True, slots=True, kw_only=True)
class NeutronServer:
    """One Neutron server, central or of a site."""

    flavour: Flavour
    host: str  #: Neutron's own `host`, unique in the cloud
    state_dir: Path
    database: str  #: SQLAlchemy URL
    paste_file: Path  #: Neutron's api-paste.ini
    policy_file: Path | None = None  #: what it says beside Neutron's own defaults
    base_mac: str  #: a prefix per site, so that no two sites mint the same MAC
    auth: Auth | None = None  #: None: `auth_strategy=noauth`, for tests without Keystone
    ovn: Ovn | None = None  #: None at central
    isthmus: Mapping[str, object] = field(default_factory=dict)  #: options of our group
    extra: Sections = field(default_factory=dict)  #: laid over everything else


@dataclass(frozen=True, slots=True, kw_only=True)
class KeystoneServer:
    """One Keystone process; several may stand on one database and one set of keys."""

    database: str
    keys_dir: Path  #: holds the folders `fernet` and `credential`
    public_url: str = ""
    cached: bool = False  #: whether it keeps what it has read for some seconds
    #: Of bcrypt. The least that it takes is enough where passwords live as long as a lab.
    hash_rounds: int = 4


def name_own_network(site: str) -> str:
    """Return the second name of a site's way out, for networks with another segment at each."""
    return f"{site}-{PHYSICAL_NETWORK}"


def sqlite_url(path: Path) -> str:
    """Return the SQLAlchemy URL of a database file.

    The time to wait for another writer belongs to the URL, because the services that open it have
    no setting of their own for it.
    """
    return f"sqlite:///{path}?timeout={SQLITE_BUSY_S}"


def render_neutron(server: NeutronServer) -> str:
    """Write a `neutron.conf`."""
    return render_sections(_merge(neutron_sections(server), server.extra))


def neutron_sections(server: NeutronServer) -> dict[str, dict[str, object]]:
    """Return the sections of a Neutron server's configuration, before `extra` is merged."""
    plugins = _PLUGINS[server.flavour]
    sections: dict[str, dict[str, object]] = {
        "DEFAULT": {
            "host": server.host,
            "auth_strategy": "keystone" if server.auth else "noauth",
            "core_plugin": plugins.core,
            "service_plugins": plugins.services,
            "ipam_driver": plugins.ipam,
            "api_paste_config": server.paste_file,
            "state_path": server.state_dir,
            "base_mac": server.base_mac,
            "transport_url": "fake:/",
            # Nobody listens for RPC without agents; pushing objects costs 13 % of a port create.
            "rpc_workers": 0,
            "rpc_state_report_workers": 0,
            "enable_traditional_dhcp": False,
            "notify_nova_on_port_status_changes": False,
            "notify_nova_on_port_data_changes": False,
            "dns_domain": "example.org.",
            "global_physnet_mtu": UNDERLAY_MTU,
            "max_allowed_address_pair": 50,
            "use_stderr": True,
        },
        "database": {"connection": server.database},
        "oslo_concurrency": {"lock_path": server.state_dir / "lock"},
        "oslo_policy": {
            "enforce_scope": True,
            "enforce_new_defaults": True,
            **({"policy_file": server.policy_file} if server.policy_file else {}),
        },
        "oslo_middleware": {"max_request_body_size": MOST_BODY_BYTES},
        "ml2": {
            "mechanism_drivers": plugins.mechanisms,
            "extension_drivers": plugins.extensions,
            "type_drivers": "geneve,vxlan,vlan,flat,local",
            "tenant_network_types": "geneve,vxlan",
            "overlay_ip_version": 4,
        },
        "ml2_type_geneve": {"vni_ranges": VNI_RANGE, "max_header_size": GENEVE_HEADER_BYTES},
        "ml2_type_vxlan": {"vni_ranges": VNI_RANGE},
        "ml2_type_vlan": {
            "network_vlan_ranges": _CENTRAL_VLANS
            if server.flavour is Flavour.CENTRAL
            else SITE_VLANS
        },
        "ml2_type_flat": {"flat_networks": "*"},
        "securitygroup": {"enable_security_group": True},
    }
    if server.auth:
        sections["keystone_authtoken"] = _authtoken(server.auth)
    if server.ovn:
        sections["ovn"] = {
            "ovn_nb_connection": server.ovn.northbound,
            "ovn_sb_connection": server.ovn.southbound,
            "ovn_metadata_enabled": False,
            "enable_distributed_floating_ip": True,
        }
    if server.flavour is not Flavour.STOCK:
        sections["isthmus"] = dict(server.isthmus)
    return sections


#: How long a Keystone goes on with what it has read of the database, in seconds.
KEYSTONE_CACHE_S = 5


def render_keystone(server: KeystoneServer) -> str:
    """Write a `keystone.conf`.

    Each tier has a process of its own on the same database, and may have a cache of its own: what
    another process has changed is seen after `KEYSTONE_CACHE_S` at the latest (ADR 0008).
    """
    sections: dict[str, dict[str, object]] = {
        "DEFAULT": {"use_stderr": True, "public_endpoint": server.public_url},
        "database": {"connection": server.database},
        "token": {"provider": "fernet", "expiration": 86400},
        "fernet_tokens": {"key_repository": server.keys_dir / "fernet"},
        "fernet_receipts": {"key_repository": server.keys_dir / "fernet"},
        "credential": {"key_repository": server.keys_dir / "credential"},
        "cache": {
            "enabled": server.cached,
            "backend": "dogpile.cache.memory",
            "expiration_time": KEYSTONE_CACHE_S,
        },
        "oslo_policy": {"enforce_scope": True, "enforce_new_defaults": True},
        "identity": {"password_hash_rounds": server.hash_rounds},
    }
    if not server.public_url:
        del sections["DEFAULT"]["public_endpoint"]
    return render_sections(sections)


def render_policy(service_users: Sequence[str]) -> str:
    """Write a `policy.yaml`: only this tier's own services may do what services may.

    Neutron lets anybody with the role `service` list and change every tenant's ports, and a role is
    the same in all tiers.

    Args:
        service_users: the ids of those services' users.
    """
    users = " or ".join(f"user_id:{one}" for one in service_users)
    return f'"service_api": "role:service and ({users})"\n'


def render_paste(stock: str) -> str:
    """Write an `api-paste.ini`: Neutron's own, with a limit of bodies and a log of refusals.

    Args:
        stock: the text of Neutron's.
    """
    text = stock.replace(" request_id ", " request_id isthmus_refusals sizelimit ")
    return f"{text}\n{PASTE_FILTERS}"


def render_sections(sections: Sections) -> str:
    """Write an INI file as oslo.config reads it."""
    lines = []
    for name, options in sections.items():
        lines.append(f"[{name}]")
        lines += [f"{key} = {_text(value)}" for key, value in options.items()]
        lines.append("")
    return "\n".join(lines)


def _authtoken(auth: Auth) -> dict[str, object]:
    return {
        **({"region_name": auth.region} if auth.region else {}),
        "auth_type": "password",
        "auth_url": auth.url,
        "www_authenticate_uri": auth.url,
        "username": auth.username,
        "password": auth.password,
        "project_name": auth.project,
        "user_domain_id": "default",
        "project_domain_id": "default",
        "memcached_servers": auth.memcached,
        "interface": "internal",
        # A Keystone that does not answer must not hold a thread for ever. One that is slow works
        # on at what nobody waits for: asked again too soon, it never comes to the end of it.
        "http_connect_timeout": 60,
        "http_request_max_retries": 1,
        "service_token_roles_required": True,
        # A site asks central on behalf of a person, with the token of each.
        "service_token_roles": "service,isthmus_site",
    }


def _merge(base: Sections, over: Sections) -> dict[str, dict[str, object]]:
    names = [*base, *(name for name in over if name not in base)]
    return {name: {**base.get(name, {}), **over.get(name, {})} for name in names}


def _text(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    # oslo.config reads $NAME as a reference to another option.
    return str(value).replace("$", "$$")
