"""What Xjob has to be told: central's database, how to log in, and how patient to be.

The options stand in the group `[isthmus_xjob]`, together with those by which keystoneauth logs Xjob
in at central (`auth_type`, `auth_url`, `username` ...). At each site it is another user, whose
login stands in the group `[isthmus_xjob:SITE]`: a site sees the tokens that it is sent, and must
not see one that opens anything else. The database is Neutron's own `[database] connection`,
so that central's `neutron.conf` may serve as the file. They are read once, into a frozen object.
"""

from dataclasses import dataclass
from pathlib import Path

from oslo_config import cfg

from isthmus import errors

GROUP = "isthmus_xjob"

OPTIONS: tuple[cfg.Opt, ...] = (
    cfg.StrOpt("central_region", default="central", help="Keystone region of central's Neutron."),
    cfg.StrOpt(
        "interface",
        default="internal",
        help="Which endpoints of the catalogue Xjob uses, central's and the sites'.",
    ),
    cfg.FloatOpt(
        "poll_interval_s",
        default=0.2,
        min=0.02,
        help="How often the journal is looked at, in seconds; one small query each time. For five "
        "seconds after work was found it is four times as often.",
    ),
    cfg.IntOpt(
        "batch", default=50, min=1, max=1000, help="Most objects that one call carries to a site."
    ),
    cfg.FloatOpt(
        "connect_timeout_s",
        default=2.0,
        min=0.05,
        help="How long to wait for a site to accept a connection, in seconds.",
    ),
    cfg.FloatOpt(
        "call_timeout_s",
        default=30.0,
        min=0.1,
        help="How long to wait for an answer to a batch, in seconds. After a time-out the next "
        "batch is half as large.",
    ),
    cfg.FloatOpt(
        "claim_s",
        default=75.0,
        min=0.5,
        help="How long a claim lasts, in seconds: a worker that was killed delays its lanes by at "
        "most this. Longer than two calls may take.",
    ),
    cfg.FloatOpt(
        "probe_interval_s",
        default=3.0,
        min=0.1,
        help="How often a site that there is no work for is asked whether it is there, in seconds.",
    ),
    cfg.FloatOpt(
        "journal_sweep_s",
        default=60.0,
        min=1.0,
        help="How often the journal is cleared of what no site can take any more, in seconds.",
    ),
    cfg.FloatOpt(
        "keep_events_s",
        default=2592000.0,
        min=0.0,
        help="How long events are kept, in seconds: 30 days by default.",
    ),
    cfg.IntOpt(
        "most_events",
        default=10000,
        min=1,
        help="How many events of each site are kept, the newest, and of central itself.",
    ),
    cfg.FloatOpt(
        "renewal_sweep_s",
        default=86400.0,
        min=0.0,
        help="How often what a site holds is compared with what it should, in seconds, for what no "
        "change announced (a restored database, a row changed by hand); 0 means never.",
    ),
)


def lane_group(site: str) -> str:
    """Return the name of the group with the login for one site."""
    return f"{GROUP}:{site}"


_DATABASE = (cfg.StrOpt("connection", secret=True, help="URL of central's Neutron database."),)


@dataclass(frozen=True, slots=True, kw_only=True)
class XjobConfig:
    """The options, checked."""

    database_url: str
    central_region: str
    interface: str
    poll_interval_s: float
    batch: int
    connect_timeout_s: float
    call_timeout_s: float
    claim_s: float
    probe_interval_s: float
    journal_sweep_s: float
    renewal_sweep_s: float
    keep_events_s: float
    most_events: int


def open_xjob(config_files: list[Path]) -> cfg.ConfigOpts:
    """Open configuration files, for what reads its own options from them (keystoneauth).

    Raises:
        Invalid: a file is not there or not well formed.
    """
    conf = cfg.ConfigOpts()
    try:
        conf(
            args=[],
            project="isthmus",
            prog="isthmus-xjob",
            default_config_files=[str(path) for path in config_files],
            default_config_dirs=[],
        )
    except (cfg.Error, ValueError) as error:
        raise errors.Invalid(f"the configuration cannot be read: {error}") from error
    return conf


def read_xjob(conf: cfg.ConfigOpts) -> XjobConfig:
    """Read the options.

    Raises:
        Invalid: one is missing or makes no sense.
    """
    conf.register_opts(OPTIONS, GROUP)
    conf.register_opts(_DATABASE, "database")
    try:
        group = conf[GROUP]
        found = XjobConfig(
            database_url=conf.database.connection or "",
            **{option.name: group[option.name] for option in OPTIONS},
        )
    except (cfg.Error, ValueError) as error:
        raise errors.Invalid(f"[{GROUP}]: {error}") from error
    if not found.database_url:
        raise errors.Invalid("[database] connection is not set: give the URL of central's database")
    if found.claim_s < found.call_timeout_s:
        raise errors.Invalid(
            f"[{GROUP}] claim_s ({found.claim_s:g}) is shorter than call_timeout_s "
            f"({found.call_timeout_s:g}): a claim must outlive the call that it is for"
        )
    return found
