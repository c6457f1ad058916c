"""All checks, in the order in which a cause explains what comes after it."""

from isthmus.diagnose.check import chassis, host, port, presence, row, rules, shadow
from isthmus.diagnose.check.look import Check

CHECKS: tuple[Check, ...] = (
    *port.CHECKS,
    *presence.CHECKS,
    *rules.CHECKS,
    host.DAEMONS,
    *chassis.CHECKS,
    *row.CHECKS,
    *shadow.CHECKS,
    *host.CHECKS,
    port.PLUGGED,
    *presence.ON_THE_WAY,
)
