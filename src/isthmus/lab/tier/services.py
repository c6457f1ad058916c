"""Which processes a tier and a hypervisor have, and what their files say. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from isthmus.lab.plan import (
    COMPUTE_PORT,
    IMAGE_PORT,
    KEYSTONE_PORT,
    MEMCACHED_PORT,
    NEUTRON_PORT,
    PLACEMENT_PORT,
    SOUTHBOUND_PORT,
    LabPlan,
)
from isthmus.lab.process.program import Program
from isthmus.lab.tier.maker import Maker
from isthmus.lab.tier.mariadb import NEUTRON, database_url, find_socket, plan_mariadb
from isthmus.lab.tier.metadata import plan_agents
from isthmus.lab.tier.template import KEYSTONE_DB, NEUTRON_DB
from isthmus.model.topology import Hypervisor, Tier
from isthmus.services import identity, logins, render
from isthmus.services.compute import nova_events
from isthmus.services.identity import Endpoint, Interface

#: What central's ML2 does where nothing else is said: an external network is a VLAN of a site.
_BY_DEFAULT = {"ml2": {"external_network_type": "vlan"}}
#: What the zygote imports: all that a Neutron or a Keystone of the lab loads at its start.
PRELOAD = (
    "neutron.server.api",
    "neutron.api.v2.router",
    "neutron.conf.policies",
    "novaclient.v2.client",
    "neutron.plugins.ml2.plugin",
    "neutron.plugins.ml2.drivers.ovn.mech_driver.mech_driver",
    "neutron.services.ovn_l3.plugin",
    "neutron.services.qos.qos_plugin",
    "neutron.services.trunk.plugin",
    "neutron.services.segments.plugin",
    "keystone.server.wsgi",
    "keystone.server.flask.core",
    "keystonemiddleware.auth_token",
    "cheroot.wsgi",
    "pymysql",
    "isthmus.neutron.db.sqlite",
    "isthmus.neutron.central.plugin",
    "isthmus.neutron.local.plugin",
    "isthmus.neutron.local.mechanism",
    "isthmus.worker.main",
    "sqlalchemy.orm:configure_mappers",  # last: it relates the models that were imported
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """What the files of all tiers have in common."""

    plan: LabPlan
    passwords: Mapping[str, str]
    users: Mapping[str, str]  #: ids in Keystone, by name
    keystone_dir: Path  #: one database and one set of keys for every tier's Keystone
    paste: str  #: what every Neutron's api-paste.ini says
    flavour: Mapping[str, render.Flavour]  #: by tier
    compute: bool = False  #: whether the sites have a Nova
    metadata: bool = False  #: whether hypervisors have an agent that hands on its metadata
    mariadb: bool = False  #: whether each tier's Neutron has a MariaDB, in the place of a file


@dataclass(frozen=True, slots=True, kw_only=True)
class TierServices:
    """The files and processes of one tier, in the order in which they may start."""

    files: Mapping[Path, str]
    early: tuple[Program, ...]  #: need nothing
    middle: tuple[Program, ...]  #: APIs
    late: tuple[Program, ...]  #: need the APIs, and nobody waits for them


#: Port and path of what a site with a Nova has, by type.
_COMPUTE = {
    "compute": f"{COMPUTE_PORT}/v2.1",
    "image": str(IMAGE_PORT),
    "placement": str(PLACEMENT_PORT),
}


def plan_endpoints(plan: LabPlan, *, compute: bool = False) -> list[Endpoint]:
    """Decide the catalogue: a person comes over the management link, services over the WAN.

    The ends of management links are named, not numbered, because their addresses differ from lab to
    lab and one template of the catalogue is for all; see `list_management_hosts`.
    """
    rows = []
    for tier in plan.tiers:
        hosts = {
            Interface.PUBLIC: _management_host(tier),
            Interface.INTERNAL: str(tier.address),
            Interface.ADMIN: _management_host(tier),
        }
        for interface, host in hosts.items():
            rows += [
                Endpoint("identity", tier.name, interface, f"http://{host}:{KEYSTONE_PORT}/v3"),
                Endpoint("network", tier.name, interface, f"http://{host}:{NEUTRON_PORT}"),
            ]
            if compute and not tier.is_central:
                rows += [
                    Endpoint(kind, tier.name, interface, f"http://{host}:{rest}")
                    for kind, rest in _COMPUTE.items()
                ]
    return rows


def list_management_hosts(plan: LabPlan) -> dict[str, str]:
    """Return the address behind each name that the catalogue has for a management link."""
    return {_management_host(tier): str(tier.management_address) for tier in plan.tiers}


def _management_host(tier: Tier) -> str:
    return f"{tier.name}.management"


def plan_tier(setting: Setting, tier: Tier) -> TierServices:
    """Decide the files and processes of a tier."""
    home = setting.plan.tier_dir(tier)
    make = Maker(setting.plan, tier.name, tier.netns, home)
    neutron_conf, keystone_conf = home / "neutron.conf", home / "keystone.conf"
    own_services = [setting.users[identity.neutron_user(tier.name)]]
    if setting.compute and not tier.is_central:
        own_services.append(setting.users[identity.nova_user(tier.name)])
    keystone = render.KeystoneServer(
        database=render.sqlite_url(setting.keystone_dir / KEYSTONE_DB),
        keys_dir=setting.keystone_dir,
        cached=True,
    )
    files = {
        neutron_conf: render.render_neutron(_neutron(setting, tier)),
        keystone_conf: render.render_keystone(keystone),
        _paste_file(home): setting.paste,
        _policy_file(home): render.render_policy(own_services),
    }
    early = [make.memcached()]
    if setting.mariadb:
        early.append(plan_mariadb(make))
    middle = [
        make.api("keystone", keystone_conf, KEYSTONE_PORT, tier),
        make.api("neutron", neutron_conf, NEUTRON_PORT, tier),
    ]
    if tier.is_central:
        xjob_conf = home / "xjob.conf"
        files[xjob_conf] = _xjob_conf(setting, tier)
        late = [make.xjob(neutron_conf, xjob_conf)]
    else:
        early += [make.ovsdb("nb"), make.ovsdb("sb", f"ptcp:{SOUTHBOUND_PORT}:{tier.address}")]
        early.append(make.northd())
        early += make.outside_host(tier)
        late = [make.maintenance(neutron_conf)]
        if setting.metadata:
            secret = setting.passwords[identity.nova_user(tier.name)]
            for file, (text, program) in plan_agents(setting.plan, tier, secret).items():
                files[file] = text
                late.append(program)
    return TierServices(files=files, early=tuple(early), middle=tuple(middle), late=tuple(late))


def plan_hypervisor(plan: LabPlan, host: Hypervisor) -> tuple[Program, ...]:
    """Decide the processes of a hypervisor, in the order in which they must start."""
    home = plan.host_dir(host)
    make = Maker(plan, host.name, host.netns, home)
    database = f"unix:{home}/db.sock"
    return (
        make.program(
            "ovsdb",
            "ovsdb-server",
            f"--remote=punix:{home}/db.sock",
            f"--unixctl={home}/ovsdb.ctl",
            "--remote=db:Open_vSwitch,Open_vSwitch,manager_options",
            str(home / "conf.db"),
            socket=f"{home}/db.sock",
        ),
        make.program("vswitchd", "ovs-vswitchd", f"--unixctl={home}/vswitchd.ctl", database),
        make.program("controller", "ovn-controller", database),
        make.answerer(f"{home}/vswitchd.ctl"),
    )


def vswitch_settings(plan: LabPlan, host: Hypervisor) -> list[str]:
    """Write the one `ovs-vsctl` transaction that makes a bare vswitchd a hypervisor of its site."""
    site = plan.get_tier(host.site)
    ids = {
        "system-id": host.name,
        "hostname": host.name,
        "ovn-remote": f"tcp:{site.address}:{SOUTHBOUND_PORT}",
        "ovn-encap-type": "geneve",
        "ovn-encap-ip": host.address,
        "ovn-bridge": "br-int",
        "ovn-bridge-datapath-type": "netdev",
        # Without it ovn-controller builds no tunnel to the hypervisors of other sites.
        "ovn-is-interconn": "true",
        "ovn-monitor-all": "false",
    }
    words = ["set", "Open_vSwitch", ".", *(f"external_ids:{key}={ids[key]}" for key in ids)]
    for bridge in ("br-int", "br-phys"):
        words += ["--", "add-br", bridge]
        words += ["--", "set", "Bridge", bridge, "datapath_type=netdev"]
    words += ["--", "set", "Bridge", "br-int", "fail-mode=secure"]
    return [*words, "--", "add-port", "br-phys", "eth0"]


def _neutron(setting: Setting, tier: Tier) -> render.NeutronServer:
    home = setting.plan.tier_dir(tier)
    flavour = setting.flavour[tier.name]
    user = identity.neutron_user(tier.name)
    return render.NeutronServer(
        flavour=flavour,
        host=f"{tier.name}-api",
        state_dir=home,
        database=_database(setting, home),
        paste_file=_paste_file(home),
        policy_file=_policy_file(home),
        base_mac=f"fa:16:{tier.number:02x}:00:00:00",
        auth=render.Auth(
            url=_own_keystone(),
            username=user,
            password=setting.passwords[user],
            memcached=f"127.0.0.1:{MEMCACHED_PORT}",
            region=tier.name,
        ),
        ovn=None
        if tier.is_central
        else render.Ovn(northbound=f"unix:{home}/nb.sock", southbound=f"unix:{home}/sb.sock"),
        isthmus={} if tier.is_central else _site_options(setting, tier),
        extra=_say_more(setting, tier),
    )


def _database(setting: Setting, home: Path) -> str:
    if setting.mariadb:
        return database_url(find_socket(home), NEUTRON)
    return render.sqlite_url(home / NEUTRON_DB)


def _say_more(setting: Setting, tier: Tier) -> render.Sections:
    """Say what not every Neutron has."""
    if tier.is_central:
        return _BY_DEFAULT
    vlans = f"{render.SITE_VLANS},{render.name_own_network(tier.name)}"
    return {
        "ml2_type_vlan": {"network_vlan_ranges": vlans},
        **(_nova_events(setting, tier) if setting.compute else {}),
        **({"ovn": {"ovn_metadata_enabled": True}} if setting.metadata else {}),
    }


def _nova_events(setting: Setting, site: Tier) -> render.Sections:
    user = identity.neutron_user(site.name)
    return nova_events(str(site.name), user, setting.passwords[user], _own_keystone())


def _site_options(setting: Setting, tier: Tier) -> dict[str, object]:
    return logins.site_options(
        tier.name,
        central=setting.plan.central.name,
        passwords=setting.passwords,
        users=setting.users,
        auth_url=_own_keystone(),
    )


def _xjob_conf(setting: Setting, central: Tier) -> str:
    return logins.render_xjob(
        tuple(site.name for site in setting.plan.joined_sites),
        central=central.name,
        passwords=setting.passwords,
        auth_url=_own_keystone(),
    )


def _paste_file(home: Path) -> Path:
    return home / "api-paste.ini"


def _policy_file(home: Path) -> Path:
    return home / "policy.yaml"


def _own_keystone() -> str:
    """Return the Keystone of a tier as its own services reach it: a cut WAN must not matter."""
    return f"http://127.0.0.1:{KEYSTONE_PORT}/v3"
