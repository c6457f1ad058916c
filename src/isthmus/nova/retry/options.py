"""What the conductors read from `nova.conf` about tries in other cells."""

from oslo_config import cfg

GROUP = "isthmus"
OPTIONS = (
    cfg.IntOpt(
        "most_cells",
        default=2,
        min=1,
        help="Cells in which a server is tried to be built before it is an ERROR.",
    ),
    cfg.FloatOpt(
        "retry_patience",
        default=30.0,
        min=0.0,
        help="Seconds that a cell's conductor waits for the super conductor to take a server away "
        "that no host of the cell could build, before it is an ERROR.",
    ),
    cfg.FloatOpt(
        "retry_interval",
        default=1.0,
        min=0.1,
        help="Seconds between two looks of the super conductor at servers that are being built.",
    ),
    cfg.FloatOpt(
        "retry_watch",
        default=1800.0,
        min=1.0,
        help="Seconds after which the super conductor no longer looks at a server.",
    ),
)
