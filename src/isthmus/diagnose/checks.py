"""All checks, in the order in which a cause explains what comes after it."""

from isthmus.diagnose.check import (
    chassis,
    first_boot,
    host,
    metadata,
    port,
    presence,
    row,
    rules,
    shadow,
)
from isthmus.diagnose.check.look import Check
from isthmus.diagnose.check.routed import (
    exit_row,
    gateway,
    joined,
    outlet,
    router_row,
    table,
    transit,
    translation,
)

CHECKS: tuple[Check, ...] = (
    *port.CHECKS,
    *presence.CHECKS,
    *joined.CHECKS,
    *table.CHECKS,
    translation.OWNER,
    *outlet.CHECKS,
    *translation.CHECKS,
    *rules.CHECKS,
    host.DAEMONS,
    *router_row.CHECKS,
    *exit_row.CHECKS,
    *transit.CHECKS,
    *gateway.CHECKS,
    *chassis.CHECKS,
    *row.CHECKS,
    *shadow.CHECKS,
    *host.CHECKS,
    port.PLUGGED,
    *metadata.CHECKS,
    *presence.ON_THE_WAY,
    *first_boot.CHECKS,
)
