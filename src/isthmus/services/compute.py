"""What Nova, Placement and Glance of a site read. Pure.

Nova's databases are on one MariaDB a site and its messages on one RabbitMQ, because Nova is several
processes that write to the same database, and its message driver for one process alone (`fake:`)
does not reach from one to the other.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from isthmus.services.logins import login_options
from isthmus.services.render import Sections, render_sections

#: Databases on a site's MariaDB. `CELL0` is where Nova keeps servers that no host took.
API, CELL0, PLACEMENT, GLANCE = "nova_api", "nova_cell0", "placement", "glance"
#: Nova's vhost for what is above the cells.
TOP_VHOST = ""
#: How the template names a cell's database and queue: Nova fills in the address from its own.
CELL_DATABASE = "{{scheme}}://{{username}}@{{hostname}}/{name}?{{query}}"
#: The same, where users of the database have passwords.
CELL_DATABASE_LOGIN = "{{scheme}}://{{username}}:{{password}}@{{hostname}}/{name}?{{query}}"
CELL_TRANSPORT = "{{scheme}}://{{username}}:{{password}}@{{hostname}}:{{port}}/{name}"
#: What has Nova's scheduler read the cells again, so that one that is enabled is used at once.
_FRESH = "isthmus.nova.fresh_cells.FreshCells"
#: How long Nova waits for Neutron's word that a port is plugged, in seconds, on a busy machine.
PLUG_TIMEOUT_S = 180


@dataclass(frozen=True, slots=True, kw_only=True)
class ComputeSite:
    """What the files of one site's Nova, Placement and Glance have in common."""

    site: str
    keystone: str  #: up to and with /v3
    keystone_region: str  #: whose Keystone checks tokens
    home: Path  #: what the service keeps
    database: str = field(repr=False)  #: SQLAlchemy URL, with {name} for the database's name
    user: str
    password: str = field(repr=False)
    memcached: str
    queue: str = field(default="", repr=False)  #: URL of a RabbitMQ, without a vhost
    user_id: str = ""
    neutron_id: str = ""  #: of the user of the site's Neutron
    workers: int = 1  #: of each conductor and of the scheduler
    metadata_secret: str = field(default="", repr=False)  #: shared with Neutron's metadata agents
    unlimited: bool = False  #: whether projects have no quota


@dataclass(frozen=True, slots=True, kw_only=True)
class ComputeHost:
    """One hypervisor, as its nova-compute has to know it."""

    name: str
    address: str
    home: Path  #: what nova-compute keeps
    driver: Sections  #: of `namespace_driver` or `libvirt_driver`


def cell_database(number: int) -> str:
    """Return the name of a cell's database."""
    return f"nova_cell{number}"


def cell_name(number: int) -> str:
    """Return the name of a cell, which is its vhost's too."""
    return f"cell{number}"


def transport_url(site: ComputeSite, vhost: str) -> str:
    """Return the URL of a vhost of a site's RabbitMQ."""
    return f"{site.queue}/{vhost}"


def database_url(site: ComputeSite, name: str) -> str:
    """Return the SQLAlchemy URL of a database."""
    return site.database.replace("{name}", name)


_QUOTAS = ("instances", "cores", "ram")


def render_api(site: ComputeSite, policy_file: Path) -> str:
    """Write the `nova.conf` of the APIs, the super conductor and the scheduler.

    Args:
        site: whose.
        policy_file: what `render_policy` writes.
    """
    own: Sections = {
        "DEFAULT": {"transport_url": transport_url(site, TOP_VHOST), "host": f"{site.site}-api"},
        "api_database": {"connection": database_url(site, API)},
        "database": {"connection": database_url(site, CELL0)},
        "keystone_authtoken": {
            **_login(site),
            "www_authenticate_uri": site.keystone,
            "memcached_servers": site.memcached,
            "interface": "internal",
            "http_connect_timeout": 60,
            "service_token_roles_required": True,
            "service_token_roles": "service",
        },
        "filter_scheduler": {"weight_classes": f"nova.scheduler.weights.all_weighers,{_FRESH}"},
        "oslo_policy": {"policy_file": policy_file},
        **({"quota": dict.fromkeys(_QUOTAS, -1)} if site.unlimited else {}),
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
        "database": {"connection": database_url(site, cell_database(number))},
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
            "state_path": host.home,
            "vif_plugging_timeout": PLUG_TIMEOUT_S,
            "force_config_drive": True,
            "running_deleted_instance_action": "reap",
        },
        "oslo_concurrency": {"lock_path": host.home / "lock"},
        # Server groups are in the API's database, which a cell does not know.
        "workarounds": {"disable_group_policy_check_upcall": True},
    }
    return render_sections(_merge(_merge(_nova(site), own), host.driver))


def namespace_driver(
    *, lab: Path, site: str, netns: str, guest_prefix: str, switch_socket: Path
) -> Sections:
    """Return the options of our driver, whose servers are network namespaces.

    Args:
        lab: the folder that hypervisors share.
        site: of the hypervisor.
        netns: namespace of the hypervisor.
        guest_prefix: what the names of its guests' namespaces begin with.
        switch_socket: of its Open vSwitch database.
    """
    return {
        "DEFAULT": {"compute_driver": "isthmus.NamespaceDriver", "reserved_host_memory_mb": 0},
        # A guest that moves, live, is plugged at its new place only as it arrives.
        "compute": {"live_migration_wait_for_vif_plug": False},
        "isthmus": {
            "lab": lab,
            "site": site,
            "netns": netns,
            "guest_prefix": guest_prefix,
            "switch_socket": switch_socket,
        },
    }


#: Sections of programs that nova-compute starts to do what takes privileges.
_PRIVILEGED = ("nova_sys_admin", "vif_plug_ovs_privileged", "privsep_osbrick")


def libvirt_driver(
    *, virt_type: str, instances: Path, helper: str, switch_socket: Path
) -> Sections:
    """Return the options of Nova's driver of libvirt, for a nova-compute that is root.

    Args:
        virt_type: kvm, or qemu where the machine has no virtualisation.
        instances: where the disks of servers are.
        helper: the command that does what takes privileges.
        switch_socket: of Open vSwitch's database.
    """
    return {
        "DEFAULT": {"compute_driver": "libvirt.LibvirtDriver", "instances_path": instances},
        "libvirt": {"virt_type": virt_type},
        # By itself it would ask at a port of TCP, which Open vSwitch does not open.
        "os_vif_ovs": {"ovsdb_connection": f"unix:{switch_socket}"},
        # By itself it would ask sudo, and look for the program where sudo does.
        **{section: {"helper_command": helper} for section in _PRIVILEGED},
    }


def render_placement(site: ComputeSite) -> str:
    """Write a `placement.conf`."""
    return render_sections(
        {
            "DEFAULT": {"use_stderr": True},
            "api": {"auth_strategy": "keystone"},
            "placement_database": {"connection": database_url(site, PLACEMENT)},
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
            "database": {"connection": database_url(site, GLANCE)},
            "keystone_authtoken": _authtoken(site),
            "paste_deploy": {"flavor": "keystone", "config_file": paste_file},
            "oslo_concurrency": {"lock_path": site.home / "lock"},
        }
    )


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
        "conductor": {"workers": site.workers},
        "scheduler": {"workers": site.workers},
        "neutron": {**own, **_metadata(site)},
        "placement": own,
        "service_user": {**_login(site), "send_service_user_token": True},
        "glance": {"region_name": site.site, "valid_interfaces": "internal"},
        "metadata": {},
        "vnc": {"enabled": False},
    }


def nova_events(region: str, user: str, password: str, auth_url: str) -> Sections:
    """Return what has a site's Neutron tell its Nova when a port is plugged.

    Args:
        region: of the site.
        user: of the site's Neutron.
        password: its password.
        auth_url: the Keystone that it asks.
    """
    return {
        "DEFAULT": {
            "notify_nova_on_port_status_changes": True,
            "notify_nova_on_port_data_changes": True,
            # Neutron collects its messages for this long, in seconds, before it sends them.
            "send_events_interval": 1,
        },
        "nova": {
            "region_name": region,
            "endpoint_type": "internal",
            **login_options(user, password, auth_url),
        },
    }


def _metadata(site: ComputeSite) -> dict[str, object]:
    if not site.metadata_secret:
        return {}
    return {
        "service_metadata_proxy": True,
        "metadata_proxy_shared_secret": site.metadata_secret,
    }


def _authtoken(site: ComputeSite) -> dict[str, object]:
    return {
        **_login(site),
        "www_authenticate_uri": site.keystone,
        "memcached_servers": site.memcached,
        "interface": "internal",
        "region_name": site.keystone_region,
        "http_connect_timeout": 60,
        "service_token_roles_required": True,
        "service_token_roles": "service",
    }


def _login(site: ComputeSite) -> dict[str, object]:
    return login_options(site.user, site.password, site.keystone)


def _merge(base: Sections, over: Sections) -> Mapping[str, Mapping[str, object]]:
    names = [*base, *(name for name in over if name not in base)]
    return {name: {**base.get(name, {}), **over.get(name, {})} for name in names}
