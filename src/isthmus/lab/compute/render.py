"""What Nova, Placement, Glance, MariaDB and RabbitMQ of a site read. Pure.

Nova's databases are on one MariaDB a site and its messages on one RabbitMQ, because Nova is several
processes that write to the same database, and its message driver for one process alone (`fake:`)
does not reach from one to the other.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from ipaddress import IPv4Address
from pathlib import Path

from isthmus.lab.plan import KEYSTONE_PORT, METADATA_PORT, RABBITMQ_PORT
from isthmus.lab.tier.mariadb import database_url
from isthmus.services.render import Sections, render_sections

#: Databases on a site's MariaDB. `CELL0` is where Nova keeps servers that no host took.
API, CELL0, PLACEMENT, GLANCE = "nova_api", "nova_cell0", "placement", "glance"
#: Nova's vhost for what is above the cells.
TOP_VHOST = ""
#: How the template names a cell's database and queue: Nova fills in the address from its own.
CELL_DATABASE = "{{scheme}}://{{username}}@{{hostname}}/{name}?{{query}}"
CELL_TRANSPORT = "{{scheme}}://{{username}}:{{password}}@{{hostname}}:{{port}}/{name}"
RABBITMQ_USER = "nova"
#: Who makes vhosts once RabbitMQ's management is enabled.
RABBITMQ_ADMIN = "isthmus"
#: What has Nova's scheduler read the cells again, so that one that is enabled is used at once.
_FRESH = "isthmus.nova.fresh_cells.FreshCells"
#: How long Nova waits for Neutron's word that a port is plugged, in seconds, on a busy machine.
PLUG_TIMEOUT_S = 180


@dataclass(frozen=True, slots=True, kw_only=True)
class ComputeSite:
    """What the files of one site's Nova have in common."""

    site: str
    address: IPv4Address  #: where the site's own services answer each other
    management_address: IPv4Address  #: where the lab looks whether they answer
    home: Path
    socket: Path  #: of MariaDB
    user: str
    password: str = field(repr=False)
    memcached: str
    neutron_id: str  #: of the user of the site's Neutron
    user_id: str

    @property
    def keystone(self) -> str:
        """Return the site's Keystone."""
        return f"http://{self.address}:{KEYSTONE_PORT}/v3"


@dataclass(frozen=True, slots=True, kw_only=True)
class ComputeHost:
    """One hypervisor, as its nova-compute has to know it."""

    name: str
    address: IPv4Address
    netns: str
    home: Path
    lab: Path  #: the lab's folder
    guest_prefix: str  #: what the names of its guests' namespaces begin with


def cell_database(number: int) -> str:
    """Return the name of a cell's database."""
    return f"nova_cell{number}"


def cell_name(number: int) -> str:
    """Return the name of a cell, which is its vhost's too."""
    return f"cell{number}"


def transport_url(site: ComputeSite, vhost: str) -> str:
    """Return the URL of a vhost of a site's RabbitMQ."""
    return f"rabbit://{RABBITMQ_USER}:{site.password}@{site.address}:{RABBITMQ_PORT}/{vhost}"


def render_api(site: ComputeSite) -> str:
    """Write the `nova.conf` of the APIs, the super conductor and the scheduler."""
    own: Sections = {
        "DEFAULT": {"transport_url": transport_url(site, TOP_VHOST), "host": f"{site.site}-api"},
        "api_database": {"connection": database_url(site.socket, API)},
        "database": {"connection": database_url(site.socket, CELL0)},
        "keystone_authtoken": {
            **_login(site),
            "www_authenticate_uri": site.keystone,
            "memcached_servers": site.memcached,
            "interface": "internal",
            "http_connect_timeout": 60,
            "service_token_roles_required": True,
            "service_token_roles": "service",
        },
        "quota": {"instances": -1, "cores": -1, "ram": -1},
        "filter_scheduler": {"weight_classes": f"nova.scheduler.weights.all_weighers,{_FRESH}"},
        "oslo_policy": {"policy_file": site.home / "policy.yaml"},
    }
    return render_sections(_merge(_nova(site), own))


def render_paste(own: str) -> str:
    """Write the `api-paste.ini` of the API: Nova's own, which also reads the cells again.

    Lists of servers with details do not wait for a cell that hangs.
    """
    return (
        own.replace("keystonecontext ", "keystonecontext fresh_cells ").replace(
            " osapi_compute_app_v21\n", " server_list osapi_compute_app_v21\n"
        )
        + "\n[filter:fresh_cells]\npaste.filter_factory = isthmus.nova.fresh_cells:make_filter\n"
        + "\n[filter:server_list]\n"
        + "paste.filter_factory = isthmus.nova.servers.controller:make_filter\n"
    )


def render_policy(site: ComputeSite) -> str:
    """Write the `policy.yaml` of the APIs: only this site's own services do what services may.

    Nova lets any service tell it of events and then looks for the server as that user, who sees
    none but its own project's: Neutron's word that a port is plugged would be answered 404. So
    the site's own Neutron, and no other user of a service, counts as an administrator here.
    """
    return (
        f'"context_is_admin": "role:admin or user_id:{site.neutron_id}"\n'
        f'"service_api": "role:service and '
        f'(user_id:{site.user_id} or user_id:{site.neutron_id})"\n'
    )


def render_cell(site: ComputeSite, number: int) -> str:
    """Write the `nova.conf` of a cell's conductor, which knows its cell alone."""
    own: Sections = {
        "DEFAULT": {
            "transport_url": transport_url(site, cell_name(number)),
            "host": f"{site.site}-{cell_name(number)}",
        },
        "database": {"connection": database_url(site.socket, cell_database(number))},
    }
    return render_sections(_merge(_nova(site), own))


def render_compute(site: ComputeSite, host: ComputeHost, number: int) -> str:
    """Write the `nova.conf` of a hypervisor's nova-compute, which has no database at all.

    Args:
        site: of the hypervisor.
        host: the hypervisor.
        number: of its cell.
    """
    own: Sections = {
        "DEFAULT": {
            "transport_url": transport_url(site, cell_name(number)),
            "host": host.name,
            "my_ip": host.address,
            "state_path": host.home / "nova",
            "compute_driver": "isthmus.NamespaceDriver",
            "vif_plugging_timeout": PLUG_TIMEOUT_S,
            "force_config_drive": True,
            "reserved_host_memory_mb": 0,
            "running_deleted_instance_action": "reap",
        },
        "oslo_concurrency": {"lock_path": host.home / "nova" / "lock"},
        # A guest that moves, live, is plugged at its new place only as it arrives.
        "compute": {"live_migration_wait_for_vif_plug": False},
        # Server groups are in the API's database, which a cell does not know.
        "workarounds": {"disable_group_policy_check_upcall": True},
        "isthmus": {
            "lab": host.lab,
            "site": site.site,
            "netns": host.netns,
            "guest_prefix": host.guest_prefix,
            "switch_socket": host.home / "db.sock",
        },
    }
    return render_sections(_merge(_nova(site), own))


def render_placement(site: ComputeSite) -> str:
    """Write a `placement.conf`."""
    return render_sections(
        {
            "DEFAULT": {"use_stderr": True},
            "api": {"auth_strategy": "keystone"},
            "placement_database": {"connection": database_url(site.socket, PLACEMENT)},
            "keystone_authtoken": _authtoken(site),
        }
    )


def render_glance(site: ComputeSite, paste_file: Path) -> str:
    """Write a `glance-api.conf`.

    Args:
        site: of the service.
        paste_file: Glance's own `glance-api-paste.ini`.
    """
    return render_sections(
        {
            "DEFAULT": {
                "use_stderr": True,
                "enabled_backends": "file:file",
                "node_staging_uri": f"file://{site.home}/staging",
            },
            "glance_store": {"default_backend": "file"},
            "file": {"filesystem_store_datadir": site.home / "images"},
            "database": {"connection": database_url(site.socket, GLANCE)},
            "keystone_authtoken": _authtoken(site),
            "paste_deploy": {"flavor": "keystone", "config_file": paste_file},
            "oslo_concurrency": {"lock_path": site.home / "lock"},
        }
    )


def render_rabbitmq(site: ComputeSite) -> str:
    """Write a `rabbitmq.conf`."""
    return "\n".join(
        [
            f"listeners.tcp.1 = {site.address}:{RABBITMQ_PORT}",
            f"listeners.tcp.2 = {site.management_address}:{RABBITMQ_PORT}",
            f"load_definitions = {site.home}/definitions.json",
            "log.console = true",
            "log.console.level = warning",
            "log.file = false",
            "",
        ]
    )


def render_definitions(site: ComputeSite, cells: int) -> str:
    """Write the vhosts and the user that a RabbitMQ begins with, as JSON."""
    vhosts = ["/", *(cell_name(number) for number in range(1, cells + 1))]
    everything = {"configure": ".*", "write": ".*", "read": ".*"}
    return json.dumps(
        {
            "vhosts": [{"name": name} for name in vhosts],
            "users": [
                {"name": RABBITMQ_USER, "password": site.password, "tags": []},
                {"name": RABBITMQ_ADMIN, "password": site.password, "tags": ["administrator"]},
            ],
            "permissions": [
                {"user": RABBITMQ_USER, "vhost": name, **everything} for name in vhosts
            ],
        }
    )


def rabbitmq_variables(home: Path) -> dict[str, str]:
    """Return the variables that keep a RabbitMQ and its port mapper to their own folder."""
    return {
        "HOME": str(home),
        "RABBITMQ_NODENAME": "isthmus@localhost",
        "RABBITMQ_CONFIG_FILE": str(home / "rabbitmq.conf"),
        "RABBITMQ_MNESIA_BASE": str(home / "mnesia"),
        "RABBITMQ_LOG_BASE": str(home),
        "RABBITMQ_ENABLED_PLUGINS_FILE": str(home / "enabled_plugins"),
        "RABBITMQ_CONF_ENV_FILE": "/dev/null",
        "ERL_EPMD_ADDRESS": "127.0.0.1",
        # One scheduler that does not spin: many labs share few cores.
        "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "+sbwt none +S 1:1 "
        "-kernel inet_dist_use_interface {127,0,0,1}",
    }


def _nova(site: ComputeSite) -> Sections:
    own = {**_login(site), "region_name": site.site, "valid_interfaces": "internal"}
    return {
        "DEFAULT": {
            "state_path": site.home,
            "use_stderr": True,
            "concurrency_backend": "threading",
            "service_down_time": 120,
        },
        "api": {"auth_strategy": "keystone"},
        "oslo_concurrency": {"lock_path": site.home / "lock"},
        "oslo_messaging_rabbit": {
            "heartbeat_in_pthread": False,
            # Workers start beside the queue: look for it every second, not ever more seldom.
            "kombu_reconnect_delay": 0,
            "rabbit_retry_interval": 1,
            "rabbit_retry_backoff": 0,
        },
        "conductor": {"workers": 1},
        "scheduler": {"workers": 1},
        "neutron": {
            **own,
            "service_metadata_proxy": True,
            "metadata_proxy_shared_secret": site.password,
        },
        "placement": own,
        "service_user": {**_login(site), "send_service_user_token": True},
        "glance": {"region_name": site.site, "valid_interfaces": "internal"},
        "metadata": {},
        "vnc": {"enabled": False},
    }


def metadata_address(site: ComputeSite) -> str:
    """Return where a site's metadata API answers its agents."""
    return f"{site.address}:{METADATA_PORT}"


def _authtoken(site: ComputeSite) -> dict[str, object]:
    return {
        **_login(site),
        "www_authenticate_uri": site.keystone,
        "memcached_servers": site.memcached,
        "interface": "internal",
        "region_name": site.site,
        "http_connect_timeout": 60,
        "service_token_roles_required": True,
        "service_token_roles": "service",
    }


def _login(site: ComputeSite) -> dict[str, object]:
    return {
        "auth_type": "password",
        "auth_url": site.keystone,
        "username": site.user,
        "password": site.password,
        "project_name": "service",
        "user_domain_id": "default",
        "project_domain_id": "default",
    }


def _merge(base: Sections, over: Sections) -> Mapping[str, Mapping[str, object]]:
    names = [*base, *(name for name in over if name not in base)]
    return {name: {**base.get(name, {}), **over.get(name, {})} for name in names}
