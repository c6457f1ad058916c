"""Apply a plan to its host, across a reboot where it needs one, and roll it back."""

import time
from collections.abc import Callable
from dataclasses import dataclass

from isthmus import errors
from isthmus.facts.protocols import HostClient
from isthmus.model.host.host_plan import HostPlan
from isthmus.model.host.nfv_layout import Layout
from isthmus.nfv.render import script

APPLY_TIMEOUT_S = 600.0
REBOOT_TIMEOUT_S = 900.0
POLL_S = 3.0


@dataclass(frozen=True, slots=True)
class Applied:
    """What `apply_plan` or `roll_back` did."""

    changes: tuple[str, ...]
    needs_reboot: bool
    rebooted: bool = False


def apply_plan(
    client: HostClient,
    plan: HostPlan,
    *,
    may_reboot: bool = False,
    layout: Layout | None = None,
    say: Callable[[str], None] = lambda _: None,
) -> Applied:
    """Apply a plan to its host; where a reboot is allowed, also across it.

    Args:
        client: the host.
        plan: its plan.
        may_reboot: reboot where the kernel line asks for it, wait, and go on.
        layout: where the host keeps Nova and Open vSwitch; None: found.
        say: told what happens.

    Raises:
        StepFailed: a step failed; what was done before it stays, and can be rolled back.
        Unreachable: the host does not answer, or did not come back.
    """
    done = _run(client, script.render_apply(plan, chosen=layout))
    if not done.needs_reboot or not may_reboot:
        return done
    say(f"rebooting {client.name}")
    reboot(client, say)
    again = _run_once_up(client, script.render_apply(plan, chosen=layout))
    if again.needs_reboot:
        raise errors.StepFailed(
            f"{client.name} was rebooted, but its kernel line is not the planned one yet: does it "
            "boot by another boot loader than GRUB?"
        )
    return Applied((*done.changes, *again.changes), needs_reboot=False, rebooted=True)


def roll_back(client: HostClient) -> Applied:
    """Roll back the last `apply_plan` that changed something.

    Raises:
        NotFound: nothing was applied.
        StepFailed: a step failed.
    """
    return _run(client, script.render_rollback())


def _run(client: HostClient, text: str) -> Applied:
    output = client.run_script(text, timeout_s=APPLY_TIMEOUT_S)
    lines = output.stdout.splitlines()
    if output.exit_code == 4:
        raise errors.NotFound(f"{client.name}: {lines[-1] if lines else 'nothing was applied'}")
    if output.exit_code != 0:
        said = next((line for line in reversed(lines) if line.startswith("failed")), "")
        said = said or output.stderr.strip()[-400:] or "it said nothing"
        raise errors.StepFailed(f"on {client.name}: {said}", output=output.stdout + output.stderr)
    changes = tuple(line for line in lines if not line.startswith(("same ", "reboot ", "done")))
    return Applied(changes, any(line.startswith("reboot ") for line in lines))


def _run_once_up(client: HostClient, text: str) -> Applied:
    """Run a script on a host that has just booted: it may answer once and then be busy for long.

    Raises:
        StepFailed: a step failed.
        Unreachable: it did not answer in time.
    """
    deadline = time.monotonic() + REBOOT_TIMEOUT_S
    while True:
        try:
            return _run(client, text)
        except errors.Unreachable:
            if time.monotonic() > deadline:
                raise
            time.sleep(POLL_S)


def _boot_id(client: HostClient) -> str:
    return client.run_script("cat /proc/sys/kernel/random/boot_id", timeout_s=30).stdout.strip()


def reboot(client: HostClient, say: Callable[[str], None]) -> None:
    """Reboot a host and wait until it has booted anew.

    Raises:
        Unsupported: it is this very host.
        Unreachable: it did not come back in time.
    """
    if client.name == "local":
        raise errors.Unsupported(
            "this host cannot reboot itself and go on; reboot, then apply again"
        )
    before = _boot_id(client)
    try:
        client.run_script("(sleep 1; systemctl reboot) >/dev/null 2>&1 &", timeout_s=30)
    except errors.Transient:
        say(f"the connection to {client.name} dropped while the reboot was requested")
    deadline = time.monotonic() + REBOOT_TIMEOUT_S
    while time.monotonic() < deadline:
        try:
            now = _boot_id(client)
        except errors.Transient:
            now = ""
        if now and now != before:
            say(f"{client.name} is back")
            return
        time.sleep(POLL_S)
    raise errors.Unreachable(f"{client.name} did not come back within {REBOOT_TIMEOUT_S:.0f} s")
