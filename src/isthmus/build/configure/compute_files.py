"""What a site's RabbitMQ, Placement, Glance and Nova read on its machines. Pure.

The texts come from the renderers that the lab has (`isthmus.services`), as in `tier_files`.
"""

from collections.abc import Mapping
from pathlib import Path

from isthmus import errors
from isthmus.build.configure.tier_files import (
    MEMCACHED,
    File,
    Tier,
    database_url,
    database_user,
    queue_user,
)
from isthmus.services import compute, identity, rabbitmq
from isthmus.services.compute import ComputeHost, ComputeSite
from isthmus.services.render import Sections

QUEUE_PORT = 5672
_ETC, _STATE = Path("/etc"), Path("/var/lib")
#: Where a hypervisor's nova-compute keeps what it has, apart from Nova's API beside it.
COMPUTE_STATE = _STATE / "nova-compute"
#: The name under which a hypervisor's own network namespace is found, where servers are namespaces.
HOST_NETNS = "isthmus-host"
#: How servers are made: as network namespaces, or as virtual machines.
NAMESPACES, VIRT_TYPES = "namespaces", ("kvm", "qemu")
_SWITCH_SOCKET = Path("/run/openvswitch/db.sock")


def list_rabbitmq_files(tier: Tier, passwords: Mapping[str, str], words: str = "") -> list[File]:
    """Return what a site's RabbitMQ reads.

    Args:
        tier: the site.
        passwords: by name.
        words: more words for Erlang.
    """
    folder = _ETC / "rabbitmq"
    definitions = folder / "definitions.json"
    listeners = [f"{tier.address}:{QUEUE_PORT}"]
    return [
        File(str(folder / "rabbitmq.conf"), rabbitmq.render_rabbitmq(listeners, definitions)),
        File(str(definitions), rabbitmq.render_definitions(passwords[queue_user(tier.name)], 1)),
        File(str(folder / "rabbitmq-env.conf"), rabbitmq.render_variables(words)),
    ]


def list_placement_files(tier: Tier, passwords: Mapping[str, str]) -> list[File]:
    """Return what a site's Placement reads."""
    site = _describe(tier, passwords, "placement")
    return [File(str(_ETC / "placement/placement.conf"), compute.render_placement(site))]


def list_glance_files(tier: Tier, passwords: Mapping[str, str], paste: str) -> list[File]:
    """Return what a site's Glance reads.

    Args:
        tier: the site.
        passwords: by name.
        paste: where Glance's own `glance-api-paste.ini` is on the machine.
    """
    site = _describe(tier, passwords, "glance")
    return [File(str(_ETC / "glance/glance-api.conf"), compute.render_glance(site, Path(paste)))]


def list_nova_files(
    tier: Tier,
    passwords: Mapping[str, str],
    users: Mapping[str, str],
    paste: str,
    workers: int = 1,
) -> list[File]:
    """Return what the API, the scheduler and the conductors of a site's Nova read.

    Args:
        tier: the site.
        passwords: by name.
        users: ids in Keystone, by name.
        paste: Nova's own api-paste.ini.
        workers: of each conductor and of the scheduler.
    """
    folder = _ETC / "nova"
    policy_file = folder / "policy.yaml"
    site = _describe(tier, passwords, "nova", users=users, workers=workers)
    return [
        File(str(folder / "nova.conf"), compute.render_api(site, policy_file)),
        File(str(folder / "api-paste.ini"), compute.render_paste(paste)),
        File(str(policy_file), compute.render_policy(site)),
        File(str(folder / f"{compute.cell_name(1)}.conf"), compute.render_cell(site, 1)),
    ]


def make_compute_file(
    tier: Tier,
    passwords: Mapping[str, str],
    host: Mapping[str, str],
    driver: str = NAMESPACES,
) -> File:
    """Return what the nova-compute of a hypervisor reads.

    Args:
        tier: the site.
        passwords: by name.
        host: the hypervisor: its `name`, in OVN too, its `address`, and `environment`, the folder
            of its Python environment.
        driver: `namespaces`, or which virtual machines libvirt makes: `kvm` or `qemu`.

    Raises:
        Invalid: there is no such driver.
    """
    path = str(_ETC / "nova/nova-compute.conf")
    found = ComputeHost(
        name=host["name"],
        address=host["address"],
        home=COMPUTE_STATE,
        driver=_choose_driver(driver, tier.name, f"{host['environment']}/bin", path),
    )
    return File(path, compute.render_compute(_describe(tier, passwords, "nova"), found, 1))


def _choose_driver(driver: str, site: str, programs: str, path: str) -> Sections:
    if driver == NAMESPACES:
        return compute.namespace_driver(
            lab=COMPUTE_STATE / "servers",
            site=site,
            netns=HOST_NETNS,
            guest_prefix="isthmus-",
            switch_socket=_SWITCH_SOCKET,
        )
    if driver not in VIRT_TYPES:
        known = ", ".join((NAMESPACES, *VIRT_TYPES))
        raise errors.Invalid(f"there is no driver {driver} of Nova: give one of {known}")
    return compute.libvirt_driver(
        virt_type=driver,
        instances=COMPUTE_STATE / "instances",
        helper=f"{programs}/privsep-helper --config-file {path}",
        switch_socket=_SWITCH_SOCKET,
    )


def _describe(
    tier: Tier,
    passwords: Mapping[str, str],
    service: str,
    *,
    users: Mapping[str, str] | None = None,
    workers: int = 1,
) -> ComputeSite:
    user = identity.nova_user(tier.name)
    place = f"{tier.address}:{QUEUE_PORT}"
    ids = users or {}
    return ComputeSite(
        site=tier.name,
        keystone=tier.auth_url,
        keystone_region=tier.central,
        home=_STATE / service,
        database=database_url(
            "{name}", service, passwords[database_user(f"{service}-{tier.name}")]
        ),
        user=user,
        password=passwords[user],
        memcached=MEMCACHED,
        queue=rabbitmq.queue_url(passwords[queue_user(tier.name)], place),
        user_id=ids.get(user, ""),
        neutron_id=ids.get(identity.neutron_user(tier.name), ""),
        workers=workers,
    )
