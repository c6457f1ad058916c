"""What central's Neutron has to be told: the underlay's MTU and how large leases are.

The options stand in the group `[isthmus]` and are read once, into a frozen object.
"""

from dataclasses import dataclass

from oslo_config import cfg

GROUP = "isthmus"

OPTIONS: tuple[cfg.Opt, ...] = (
    cfg.IntOpt(
        "underlay_mtu",
        default=1500,
        min=1280,
        help="The least MTU of any path between hypervisors of any two sites, in bytes. Networks "
        "get 58 less: Geneve's header over IPv4.",
    ),
    cfg.IntOpt(
        "first_lease",
        default=64,
        min=1,
        help="How many addresses of a subnet a site is given at first, if there are enough. It is "
        "no limit: a site asks for more as it uses them.",
    ),
    cfg.IntOpt(
        "central_lease",
        default=8,
        min=1,
        help="How many addresses central takes for itself at a time.",
    ),
    cfg.FloatOpt(
        "recall_wait_s",
        default=10.0,
        min=0,
        help="How long a call waits for a site to give back an address that it holds and does not "
        "use, in seconds.",
    ),
    cfg.FloatOpt(
        "site_calls_per_s",
        default=20.0,
        min=0.001,
        help="How often a site may ask for bundles, for leases, report or register, each, for "
        "ever, in calls a second and API process; more is answered with 503.",
    ),
    cfg.IntOpt(
        "site_calls_at_once",
        default=600,
        min=1,
        help="How many such calls a site that was quiet may make at once.",
    ),
    cfg.IntOpt(
        "key_lease",
        default=1024,
        min=16,
        help="How many of a network's 32766 port keys a site is given at first.",
    ),
    cfg.FloatOpt(
        "silent_after_s",
        default=30.0,
        min=1.0,
        help="How long after Xjob has last seen a site it counts as silent, in seconds: no "
        "network or subnet that it has is deleted, and no port is moved from it. "
        "Several times Xjob's probe_interval_s.",
    ),
    cfg.ListOpt(
        "service_projects",
        default=[],
        item_type=cfg.types.String(max_length=255),
        help="IDs of the projects whose ports sites may make on the networks of every project, "
        "with allowed address pairs: those of services such as Octavia, and of administrators.",
    ),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class CentralConfig:
    """The options."""

    underlay_mtu: int = 1500
    first_lease: int = 64
    central_lease: int = 8
    key_lease: int = 1024
    recall_wait_s: float = 10.0
    site_calls_per_s: float = 20.0
    site_calls_at_once: int = 600
    silent_after_s: float = 30.0
    service_projects: frozenset[str] = frozenset()


def register(conf: cfg.ConfigOpts) -> None:
    """Make the options known; idempotent."""
    conf.register_opts(OPTIONS, GROUP)


def read_central(conf: cfg.ConfigOpts) -> CentralConfig:
    """Read the options."""
    register(conf)
    group = conf[GROUP]
    return CentralConfig(
        underlay_mtu=group.underlay_mtu,
        first_lease=group.first_lease,
        central_lease=group.central_lease,
        key_lease=group.key_lease,
        recall_wait_s=group.recall_wait_s,
        site_calls_per_s=group.site_calls_per_s,
        site_calls_at_once=group.site_calls_at_once,
        silent_after_s=group.silent_after_s,
        service_projects=frozenset(group.service_projects),
    )
