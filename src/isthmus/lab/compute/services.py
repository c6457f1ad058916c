"""Which processes a site's Nova has, and what their files say. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from isthmus.lab.plan import (
    COMPUTE_PORT,
    IMAGE_PORT,
    KEYSTONE_PORT,
    MEMCACHED_PORT,
    METADATA_PORT,
    PLACEMENT_PORT,
    RABBITMQ_PORT,
    LabPlan,
    prefix,
)
from isthmus.lab.process.program import Program
from isthmus.lab.tier.maker import Maker
from isthmus.lab.tier.mariadb import database_url, find_socket, plan_mariadb
from isthmus.model.topology import Hypervisor, Tier
from isthmus.services import compute, identity, rabbitmq
from isthmus.services.compute import ComputeHost, ComputeSite

#: What Nova's zygote imports; Neutron's cannot, since both declare options of the same name.
PRELOAD = (
    "nova.cmd.conductor",
    "nova.cmd.scheduler",
    "nova.cmd.compute",
    "nova.conductor.manager",
    "nova.scheduler.manager",
    "nova.compute.manager",
    "nova.api.openstack.wsgi_app",
    "nova.api.openstack.compute.routes",
    "nova.api.metadata.handler",
    "nova.policies",
    "oslo_messaging._drivers.impl_rabbit",
    "pymysql",
    "placement.deploy",
    "keystonemiddleware.auth_token",
    "cheroot.wsgi",
    "isthmus.nova.driver",
    "isthmus.nova.fresh_cells",
    "isthmus.nova.servers.controller",
)
#: Nova 34 runs on threads or on eventlet; the zygote must decide before it imports.
ZYGOTE_ENV: Mapping[str, str] = {"OS_NOVA_DISABLE_EVENTLET_PATCHING": "1"}
#: Debian's; the one on the path becomes another user first.
_RABBITMQ = "/usr/lib/rabbitmq/bin/rabbitmq-server"
RABBITMQ_PLUGINS = "/usr/lib/rabbitmq/bin/rabbitmq-plugins"


@dataclass(frozen=True, slots=True, kw_only=True)
class ComputeFiles:
    """Files of Nova's and Glance's own that the services read."""

    nova_paste: Path
    glance_paste: Path


@dataclass(frozen=True, slots=True, kw_only=True)
class People:
    """The users of a lab's Keystone, by name."""

    passwords: Mapping[str, str]
    ids: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class ComputeServices:
    """The files and processes of a site's Nova, in the order in which they may start."""

    site: ComputeSite
    files: Mapping[Path, str]
    folders: tuple[Path, ...]
    early: tuple[Program, ...]  #: database and queue
    middle: tuple[Program, ...]  #: APIs
    late: tuple[Program, ...]  #: conductors, scheduler, and a nova-compute a hypervisor
    discovery: Program  #: ends when every hypervisor is in its cell
    discovered: Path  #: which it writes then


def plan_compute(
    plan: LabPlan, site: Tier, people: People, files: ComputeFiles, cells: int = 1
) -> ComputeServices:
    """Decide the files and processes of a site's Nova.

    Args:
        plan: of the lab.
        site: one of its sites.
        people: the users of the lab's Keystone.
        files: of Nova's and Glance's own.
        cells: how many; hypervisors are dealt out to them in turn.
    """
    home = find_home(plan, site)
    user = identity.nova_user(site.name)
    password = people.passwords[user]
    places = (f"{site.address}:{RABBITMQ_PORT}", f"{site.management_address}:{RABBITMQ_PORT}")
    wanted = ComputeSite(
        site=str(site.name),
        keystone=f"http://{site.address}:{KEYSTONE_PORT}/v3",
        keystone_region=str(site.name),
        home=home,
        database=database_url(find_socket(home), "{name}"),
        queue=rabbitmq.queue_url(password, places[0]),
        user=user,
        password=password,
        user_id=people.ids[user],
        neutron_id=people.ids[identity.neutron_user(site.name)],
        memcached=f"127.0.0.1:{MEMCACHED_PORT}",
        metadata_secret=password,
        unlimited=True,
    )
    make = Maker(plan, str(site.name), site.netns, home)
    dealt = {host: 1 + turn % cells for turn, host in enumerate(site.hypervisors)}
    texts = {
        home / "nova.conf": compute.render_api(wanted, home / "policy.yaml"),
        home / "policy.yaml": compute.render_policy(wanted),
        home / "api-paste.ini": compute.render_paste(files.nova_paste.read_text()),
        home / "placement.conf": compute.render_placement(wanted),
        home / "glance-api.conf": compute.render_glance(wanted, files.glance_paste),
        home / "rabbitmq.conf": rabbitmq.render_rabbitmq(places, home / "definitions.json"),
        home / "definitions.json": rabbitmq.render_definitions(password, cells),
        home / "enabled_plugins": "[].\n",
    }
    numbers = range(1, cells + 1)
    for number in numbers:
        texts[_cell_conf(home, number)] = compute.render_cell(wanted, number)
    for host, number in dealt.items():
        own = _compute_host(plan, host)
        texts[own.home / "nova.conf"] = compute.render_compute(wanted, own, number)
    return ComputeServices(
        site=wanted,
        files=texts,
        folders=(home / "images", home / "staging", home / "lock", home / "mnesia"),
        early=(plan_mariadb(make), _rabbitmq(make, site)),
        middle=_apis(make, site),
        late=(
            _worker(make, "superconductor", "nova-conductor", home / "nova.conf"),
            _worker(make, "scheduler", "nova-scheduler", home / "nova.conf"),
            *(
                _worker(make, f"conductor{number}", "nova-conductor", _cell_conf(home, number))
                for number in numbers
            ),
            *(_compute(plan, host) for host in dealt),
        ),
        discovery=_discovery(make, site, home / "discovered"),
        discovered=home / "discovered",
    )


def find_home(plan: LabPlan, site: Tier) -> Path:
    """Return the folder of a site's Nova."""
    return plan.tier_dir(site) / "compute"


def plan_conductor(plan: LabPlan, site: Tier, cell: str, file: Path) -> Program:
    """Return the program of the conductor of a cell that is added.

    Args:
        plan: of the lab.
        site: whose Nova it is.
        cell: its name.
        file: says where its database and its queue are.
    """
    home = find_home(plan, site)
    make = Maker(plan, str(site.name), site.netns, home)
    files = (_cell_conf(home, 1), file, home / f"conductor-{cell}.conf")
    return _worker(make, f"conductor-{cell}", "nova-conductor", *files)


def _cell_conf(home: Path, number: int) -> Path:
    return home / f"{compute.cell_name(number)}.conf"


def _compute_host(plan: LabPlan, host: Hypervisor) -> ComputeHost:
    return ComputeHost(
        name=host.name,
        address=str(host.address),
        home=plan.host_dir(host) / "nova",
        driver=compute.namespace_driver(
            lab=plan.folder,
            site=str(host.site),
            netns=host.netns,
            guest_prefix=f"{prefix(plan.name)}i-",
            switch_socket=plan.host_dir(host) / "db.sock",
        ),
    )


def _rabbitmq(make: Maker, site: Tier) -> Program:
    program = make.program("rabbitmq", _RABBITMQ)
    return replace(
        program,
        url=f"tcp://{site.management_address}:{RABBITMQ_PORT}",
        env={**program.env, **rabbitmq.rabbitmq_variables(make.home)},
    )


def _apis(make: Maker, site: Tier) -> tuple[Program, ...]:
    home = str(make.home)
    nova = {"OS_NOVA_CONFIG_DIR": home}
    return (
        _api(make, site, "placement", "placement.wsgi.api", {"OS_PLACEMENT_CONFIG_DIR": home}),
        _api(make, site, "nova", "nova.wsgi.osapi_compute", nova),
        _api(make, site, "metadata", "nova.wsgi.metadata", nova),
        _api(make, site, "glance", "glance.wsgi.api", {"OS_GLANCE_CONFIG_DIR": home}),
    )


_PORTS = {
    "placement": PLACEMENT_PORT,
    "nova": COMPUTE_PORT,
    "metadata": METADATA_PORT,
    "glance": IMAGE_PORT,
}


def _api(make: Maker, site: Tier, service: str, module: str, env: Mapping[str, str]) -> Program:
    birth = make.birth(
        f"{make.place}.{service}",
        env={**ZYGOTE_ENV, **env},
        argv=(f"{service}-api",),
        application=f"{module}:application",
        bind="0.0.0.0",  # noqa: S104  (all of the site's own namespace)
        port=_PORTS[service],
    )
    return make.born(birth, url=f"http://{site.management_address}:{_PORTS[service]}/")


def _worker(make: Maker, service: str, command: str, *confs: Path) -> Program:
    module = command.removeprefix("nova-")
    main = "isthmus.nova.compute:run" if module == "compute" else f"nova.cmd.{module}:main"
    birth = make.birth(
        f"{make.place}.{service}",
        env=ZYGOTE_ENV,
        argv=(command, *(word for one in confs for word in ("--config-file", str(one)))),
        main=main,
    )
    return make.born(birth)


def _compute(plan: LabPlan, host: Hypervisor) -> Program:
    home = plan.host_dir(host)
    make = Maker(plan, host.name, host.netns, home)
    return _worker(make, "compute", "nova-compute", home / "nova" / "nova.conf")


def _discovery(make: Maker, site: Tier, done: Path) -> Program:
    hosts = ",".join(host.name for host in site.hypervisors)
    birth = make.birth(
        f"{make.place}.discovery",
        env=ZYGOTE_ENV,
        argv=("isthmus-discovery", "--config-file", str(make.home / "nova.conf"), str(done), hosts),
        main="isthmus.nova.discovery:run",
    )
    return make.born(birth)
