"""What a site's Neutron has to be told: its name, where central is, and how long to wait for it.

The options stand in the group `[isthmus]`, together with those by which keystoneauth logs the site
in at central (`auth_type`, `auth_url`, `username` ...). They are read once, into a frozen object.
"""

from dataclasses import dataclass

from oslo_config import cfg

from isthmus import errors
from isthmus.model.site import CENTRAL, SiteName

GROUP = "isthmus"

OPTIONS: tuple[cfg.Opt, ...] = (
    cfg.StrOpt("site", help="Name of this site, as central knows it."),
    cfg.StrOpt(
        "carrier_user",
        help="The one user that carries central's batches to this site: the id of a Keystone user, "
        "or DOMAIN_ID/NAME. Batches of anybody else are refused, whatever his roles.",
    ),
    cfg.StrOpt("central_region", default="central", help="Keystone region of central's Neutron."),
    cfg.StrOpt(
        "central_interface",
        default="internal",
        help="Which of central's endpoints in the catalogue the site uses.",
    ),
    cfg.URIOpt(
        "central_url",
        help="Endpoint of central's Neutron without /v2.0, instead of the one in the catalogue.",
    ),
    cfg.FloatOpt(
        "connect_timeout_s",
        default=2.0,
        min=0.05,
        help="How long to wait for central to accept a connection, in seconds. A tenant who is "
        "the first to use a network while the WAN is cut waits as long as this, once.",
    ),
    cfg.FloatOpt(
        "read_timeout_s", default=10.0, min=0.1, help="How long to wait for an answer, in seconds."
    ),
    cfg.FloatOpt(
        "miss_ttl_s",
        default=5.0,
        min=0,
        help="How long the answer 'central does not know it either' is remembered, in seconds.",
    ),
    cfg.FloatOpt(
        "relay_poll_s",
        default=1.0,
        min=0.05,
        help="How often the journal is looked at where nothing woke the relay, in seconds.",
    ),
    cfg.FloatOpt(
        "lease_sweep_s",
        default=60.0,
        min=0.5,
        help="How often leases are compared with their use, and unused ones given back, in "
        "seconds.",
    ),
    cfg.FloatOpt(
        "lease_idle_s",
        default=60.0,
        min=0,
        help="How long a lease is idle before it is given back, in seconds: longer than any "
        "transaction of Neutron's, so that nobody is still picking an address from it.",
    ),
    cfg.FloatOpt(
        "ovn_sweep_s",
        default=60.0,
        min=0.5,
        help="How often all OVN rows of stretched networks are compared with what they should be, "
        "in seconds.",
    ),
    cfg.FloatOpt(
        "ovn_pulse_s",
        default=15.0,
        min=0,
        help="How often OVN is asked whether it lives (databases, northd, every hypervisor), in "
        "seconds; each hypervisor answers with one write. 0: never; then isthmus status and audit "
        "do not see what of OVN is dead or hangs.",
    ),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class SiteConfig:
    """The options, checked."""

    site: SiteName
    carrier_user: str
    central_region: str
    central_interface: str
    central_url: str | None
    connect_timeout_s: float
    read_timeout_s: float
    miss_ttl_s: float
    relay_poll_s: float
    lease_sweep_s: float
    lease_idle_s: float
    ovn_sweep_s: float = 60.0
    ovn_pulse_s: float = 15.0


def register(conf: cfg.ConfigOpts) -> None:
    """Make the options known; idempotent."""
    conf.register_opts(OPTIONS, GROUP)


def read_site(conf: cfg.ConfigOpts) -> SiteConfig:
    """Read the options.

    Raises:
        Invalid: the site has no name, or central's; or nobody may carry to it.
    """
    register(conf)
    group = conf[GROUP]
    if not group.site or group.site == CENTRAL:
        raise errors.Invalid(
            f"[{GROUP}] site is {group.site!r}: give this site the name that central knows it by"
        )
    if not group.carrier_user:
        raise errors.Invalid(
            f"[{GROUP}] carrier_user is not set: give the id of the user that carries to this site"
        )
    return SiteConfig(
        site=SiteName(group.site),
        carrier_user=group.carrier_user,
        central_region=group.central_region,
        central_interface=group.central_interface,
        central_url=group.central_url,
        connect_timeout_s=group.connect_timeout_s,
        read_timeout_s=group.read_timeout_s,
        miss_ttl_s=group.miss_ttl_s,
        relay_poll_s=group.relay_poll_s,
        lease_sweep_s=group.lease_sweep_s,
        lease_idle_s=group.lease_idle_s,
        ovn_sweep_s=group.ovn_sweep_s,
        ovn_pulse_s=group.ovn_pulse_s,
    )
