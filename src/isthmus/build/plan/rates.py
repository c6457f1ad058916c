"""The rates that estimates rest on: measured by earlier builds of this fleet, else assumed.

A rate is the median of what was seen, so that one straggler moves no estimate. Each says where it
comes from.
"""

import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from isthmus.model.rack.build import Rate, Stage, Standing
from isthmus.model.rack.fleet import Fleet

#: What TCP over Ethernet carries of a link: 1460 of 1538 octets on the wire with frames of 1500.
WIRE_SHARE = 1460 / 1538
#: Below this many machines a median says little; the assumption stays.
FEWEST = 2
_MIB = 1048576

#: name -> (value, unit, why)
ASSUMED: dict[str, tuple[float, str, str]] = {
    "boot_s": (180.0, "s", "a server's self-test and its network boot; one to three minutes"),
    "write_mib_per_s": (450.0, "MiB/s", "a SATA disk without moving parts, written in order"),
    "install_s": (900.0, "s", "packages unpacked one by one by an installer"),
    "verify_s": (180.0, "s", "a server's self-test and the start of its system"),
}


@dataclass(frozen=True, slots=True)
class Seen:
    """How long one machine took for something, in seconds."""

    name: str
    value: float


def collect_seen(standings: Iterable[Standing]) -> list[Seen]:
    """Collect the stage durations of machines that became active."""
    found: list[Seen] = []
    for one in standings:
        if one.stage is not Stage.ACTIVE:
            continue
        at = dict(one.entered)
        if Stage.DEPLOY in at and Stage.ENROLL in at:
            found.append(Seen("boot_s", at[Stage.DEPLOY] - at[Stage.ENROLL]))
        if Stage.ACTIVE in at and Stage.VERIFY in at:
            found.append(Seen("verify_s", at[Stage.ACTIVE] - at[Stage.VERIFY]))
        if Stage.VERIFY in at and Stage.DEPLOY in at:
            took = at[Stage.VERIFY] - at[Stage.DEPLOY]
            written = float(one.facts.get("written_bytes", 0) or 0)
            if written and took > 0:
                found.append(Seen("write_mib_per_s", written / _MIB / took))
            elif took > 0:
                found.append(Seen("install_s", took))
    return found


def choose_rates(fleet: Fleet, standings: Sequence[Standing]) -> dict[str, Rate]:
    """Return every rate that an estimate needs."""
    seen = collect_seen(standings)
    rates: dict[str, Rate] = {}
    for name, (value, unit, why) in ASSUMED.items():
        values = [one.value for one in seen if one.name == name]
        if len(values) >= FEWEST:
            source = f"measured: median of {len(values)} machines that this state file records"
            rates[name] = Rate(
                name=name, value=round(statistics.median(values), 1), unit=unit, source=source
            )
        else:
            rates[name] = Rate(name=name, value=value, unit=unit, source=f"assumed: {why}")
    rates["wire_mib_per_s"] = Rate(
        name="wire_mib_per_s",
        value=round(fleet.builder.link_gbps * 1e9 / 8 * WIRE_SHARE / _MIB, 1),
        unit="MiB/s",
        source=f"builder.link_gbps {fleet.builder.link_gbps:g}, less the frames' headers",
    )
    rates["power_ons_per_s"] = Rate(
        name="power_ons_per_s",
        value=fleet.limits.power_ons_per_s,
        unit="1/s",
        source="limits.power_ons_per_s",
    )
    return rates
