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
from isthmus.diagnose.check.agents import alive, bridges
from isthmus.diagnose.check.look import Check
from isthmus.diagnose.check.machine import counters, trust
from isthmus.diagnose.check.routed import (
    centralised,
    exit_row,
    gateway,
    joined,
    outlet,
    router_row,
    table,
    transit,
    translation,
)
from isthmus.diagnose.check.served import dhcp, shared, space
from isthmus.diagnose.check.switched import guard, learned

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
    *centralised.CHECKS,
    *transit.CHECKS,
    *gateway.CHECKS,
    *chassis.CHECKS,
    *guard.CHECKS,
    *row.CHECKS,
    *learned.CHECKS,
    *shadow.CHECKS,
    *host.CHECKS,
    *bridges.CHECKS,
    *counters.CHECKS,
    *trust.CHECKS,
    *alive.CHECKS,
    port.PLUGGED,
    *dhcp.CHECKS,
    *metadata.CHECKS,
    *shared.CHECKS,
    *space.CHECKS,
    *presence.ON_THE_WAY,
    *first_boot.CHECKS,
)
