"""What comes next: whom to start, who took too long, who gets no more attempts. Pure.

Power-ons are paced. 800 machines that boot at once overrun the sockets of DHCP and TFTP (measured:
350 of 800 served, 9,682 retransmissions); spread at 27 a second all were served with none.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from isthmus.model.rack.build import Stage, Standing
from isthmus.model.rack.fleet import BmcKind, Limits
from isthmus.model.rack.machine import Machine

#: At most this much of a second's power-ons at once, when the builder was busy with other things.
BURST_S = 0.25
#: A machine asks again where its first answer was lost; more often in one attempt, it reboots for
#: ever.
MOST_ASKS = 3
#: However few machines a fleet has, this many must be quarantined before a build halts.
FEWEST_TO_HALT = 3


@dataclass(frozen=True, slots=True)
class Start:
    """Begin an attempt."""

    node: str
    attempt: int


@dataclass(frozen=True, slots=True)
class Fail:
    """End an attempt."""

    node: str
    why: str


@dataclass(frozen=True, slots=True)
class Quarantine:
    """Quarantine a machine until a person releases it."""

    node: str
    why: str


Command = Start | Fail | Quarantine


@dataclass(frozen=True, slots=True)
class Decision:
    """What is to be done now."""

    commands: tuple[Command, ...]
    is_over: bool  #: nothing is under way, and nothing will be started
    halted: str = ""  #: why no more machines are started


def decide(
    now: float,
    queue: Sequence[Machine],
    standings: Mapping[str, Standing],
    limits: Limits,
    *,
    asks: Mapping[str, int] | None = None,
) -> Decision:
    """Decide what is to be done.

    Args:
        now: seconds since 1970.
        queue: the machines of the plan, in the order of its waves.
        standings: where they stand.
        limits: of the fleet file.
        asks: how often a machine asked for its boot script in this attempt.
    """
    commands: list[Command] = []
    halted = _find_halt(queue, standings, limits)
    waiting: list[Machine] = []
    busy: Counter[tuple[str, str]] = Counter()
    is_over = True
    for machine in queue:
        one = standings.get(machine.name, Standing(node=machine.name))
        if one.stage.is_underway:
            is_over = False
            why = _find_fault(now, machine, one, limits, (asks or {}).get(machine.name, 0))
            if why:
                commands.append(Fail(machine.name, why))
            else:
                busy[machine.site, machine.rack] += 1
        elif one.stage is Stage.FAILED:
            is_over = False
            if one.attempt >= limits.attempts:
                commands.append(Quarantine(machine.name, one.why))
            elif now >= one.since + limits.retry_after_s * 2 ** (one.attempt - 1):
                waiting.append(machine)
        elif one.stage is Stage.WAITING and not halted:
            is_over = False
            waiting.append(machine)
    commands += _start(now, waiting, busy, standings, limits)
    return Decision(tuple(commands), is_over, halted)


def _start(
    now: float,
    waiting: Sequence[Machine],
    busy: Counter[tuple[str, str]],
    standings: Mapping[str, Standing],
    limits: Limits,
) -> list[Start]:
    last = max(
        (
            at
            for one in standings.values()
            for stage, at in one.entered[:1]
            if stage is Stage.ENROLL
        ),
        default=0.0,
    )
    # A clock that was set back must not stop everything.
    due = int(max(0.0, now - last) * limits.power_ons_per_s) if last <= now else 1
    budget = min(due, max(1, int(limits.power_ons_per_s * BURST_S)))
    started: list[Start] = []
    for machine in waiting:
        rack = (machine.site, machine.rack)
        if len(started) >= budget or busy.total() >= limits.parallel:
            break
        if busy[rack] >= limits.per_rack:
            continue
        busy[rack] += 1
        attempt = standings.get(machine.name, Standing(node=machine.name)).attempt + 1
        started.append(Start(machine.name, attempt))
    return started


def _find_halt(queue: Sequence[Machine], standings: Mapping[str, Standing], limits: Limits) -> str:
    lost = sum(
        1
        for machine in queue
        if machine.name in standings and standings[machine.name].stage is Stage.QUARANTINED
    )
    if lost >= FEWEST_TO_HALT and lost >= limits.halt_share * len(queue):
        return (
            f"{lost} of {len(queue)} machines are quarantined, so no more are started: see why "
            "with isthmus build status, mend it, and isthmus build release them"
        )
    return ""


def _find_fault(now: float, machine: Machine, one: Standing, limits: Limits, asks: int) -> str:
    if asks > MOST_ASKS:
        return (
            f"it asked for its boot script {asks} times in one attempt, so it reboots for ever: "
            "look at its console"
        )
    within, what, hint = _deadline(machine, one.stage, limits)
    if now - one.since <= within:
        return ""
    return f"{what} within {within:g} s" + (f": look at {hint}" if hint else "")


def _deadline(machine: Machine, stage: Stage, limits: Limits) -> tuple[float, str, str]:
    """Return how long a stage may take, what did not happen then, and where to look."""
    disk = machine.disks.device
    match stage:
        case Stage.ENROLL:
            return limits.power_timeout_s, f"its {machine.bmc.kind} controller did not answer", ""
        case Stage.PROVISION if machine.bmc.kind is BmcKind.MANUAL:
            # Nobody knows when the person comes.
            return float("inf"), "", ""
        case Stage.PROVISION:
            return (
                limits.boot_timeout_s,
                f"no network boot came from {machine.mac}",
                "its boot order, its cable, and whether the MAC is right",
            )
        case Stage.INSPECT:
            return (
                limits.boot_timeout_s,
                f"it asked for its boot script, and its {_loader(machine)} did not report",
                "its console",
            )
        case Stage.DEPLOY:
            return limits.deploy_timeout_s, f"{disk} was not written", "its console"
        case _:
            return (
                limits.verify_timeout_s,
                f"it did not report from {disk}",
                "its boot order and its console",
            )


def _loader(machine: Machine) -> str:
    return "ramdisk" if machine.install == "image" else "installer"
