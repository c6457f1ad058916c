"""Hosts joined to the NFV engine: what `isthmus nfv` and the Ansible role call."""

import dataclasses
import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from isthmus import errors
from isthmus.clients import host as host_client
from isthmus.model import host_inventory, nfv_intent
from isthmus.model.host_plan import HostPlan, Refusal
from isthmus.model.nfv_finding import Report, is_clean
from isthmus.model.nfv_layout import Layout
from isthmus.nfv import fleet, measure
from isthmus.nfv.check import host as checks
from isthmus.nfv.check import state
from isthmus.nfv.inspect import document, facts, sysfs
from isthmus.nfv.plan import nearest
from isthmus.nfv.plan.intent import parse_intent
from isthmus.nfv.ports import HostDoor
from isthmus.nfv.render import deploy, files, ovs, script
from isthmus.wiring.named_file import read_text

#: A slow host under load still answers within this.
FACTS_TIMEOUT_S = 180.0
APPLY_TIMEOUT_S = 600.0
REBOOT_TIMEOUT_S = 900.0
POLL_S = 3.0
#: Open vSwitch writes its counters down every five seconds, unless it is told otherwise.
RECORDS_TIMEOUT_S = 15.0


@dataclass(frozen=True, slots=True)
class Applied:
    """What `apply_plan` or `roll_back` did."""

    changes: tuple[str, ...]
    needs_reboot: bool
    rebooted: bool = False


def open_door(target: str, *, identity: str | None = None, options: Sequence[str] = ()) -> HostDoor:
    """Open a door to a host.

    Raises:
        Invalid: the target is not of the form local or [user@]host[:port].
    """
    return host_client.open_host(target, identity=identity, options=options)


def collect_facts(door: HostDoor, *, settings: bool = False, layout: Layout | None = None) -> str:
    """Gather the facts of a host as text; they hold no secret (`nfv.inspect.allow`).

    Args:
        door: the host.
        settings: how it is set up too, not only what it is made of.
        layout: where it keeps Nova and Open vSwitch; None: found.

    Raises:
        Unreachable: nobody answered.
        StepFailed: the script did not end.
    """
    text = facts.render_script(settings=settings, layout=layout)
    output = door.run_script(text, timeout_s=FACTS_TIMEOUT_S)
    if output.exit_code != 0 or facts.END not in output.stdout[-200:]:
        said = output.stderr.strip().splitlines() or ["it said nothing"]
        raise errors.StepFailed(f"gathering the facts of {door.name} failed: {said[-1]}")
    return output.stdout


def read_inventory(path: Path) -> host_inventory.HostInventory:
    """Read an inventory from any file that describes a host.

    Raises:
        NotFound: it is not there.
        Invalid: it describes no host, or one that cannot be.
        ProtocolError: it is garbled.
    """
    return document.parse_inventory(read_text(path), name=path.stem)


def inspect_host(door: HostDoor) -> host_inventory.HostInventory:
    """Make the inventory of a live host.

    Raises:
        Unreachable: nobody answered.
        StepFailed: the facts could not be gathered.
    """
    return sysfs.parse_host(facts.parse_facts(collect_facts(door)))


def read_intent(path: Path) -> nfv_intent.NfvIntent:
    """Read an intent.

    Raises:
        NotFound: it is not there.
        Invalid: it is none, or contradicts itself.
    """
    return parse_intent(read_text(path), name=str(path))


def plan_or_refuse(
    inventory: host_inventory.HostInventory, intent: nfv_intent.NfvIntent
) -> HostPlan:
    """Plan a host.

    Raises:
        Exhausted: the host cannot do it; the message has every constraint and the nearest intents.
    """
    outcome = nearest.plan_or_nearest(inventory, intent)
    if isinstance(outcome, Refusal):
        raise errors.Exhausted(say_refusal(outcome), refusal=document.to_document(outcome))
    return outcome


def say_refusal(refusal: Refusal) -> str:
    """Put a refusal into words."""
    why = "; ".join(constraint.message for constraint in refusal.constraints)
    near = (
        f" What would work: {'; or '.join(refusal.nearest)}."
        if refusal.nearest
        else " No small change of the intent works either."
    )
    return f"{refusal.host} cannot be planned so: {why}.{near}"


def read_plan(path: Path) -> HostPlan:
    """Read a saved plan.

    Raises:
        NotFound: it is not there.
        Invalid: it is no plan.
    """
    body = document.read_document(read_text(path), what=str(path))
    return document.parse_noun(HostPlan, body, what=f"the plan {path}")


def dump(noun: object) -> str:
    """Write a noun as JSON."""
    return json.dumps(document.to_document(noun), indent=2) + "\n"


def render_report(report: Report) -> dict[str, object]:
    """Give what a check came to as a document: the verdict and the counts first, then findings."""
    body = document.to_document(report)
    return {
        "clean": is_clean(report.findings),
        "answers": report.answers,
        "unseen": list(report.unseen),
        "findings": body["findings"],
        "rulings": body["rulings"],
    }


def render_plan(plan: HostPlan) -> dict[str, str]:
    """Give all that a plan means as path -> content, for a person to read or carry."""
    found = {f"host{file.path}": file.content for file in files.render_files(plan)}
    found |= files.render_controller(plan) | deploy.render_deploy(plan)
    commands = [*ovs.render_config(plan), *ovs.render_ports(plan)]
    if commands:
        found["host/ovs-commands.sh"] = ovs.render_shell(commands)
    found["host/kernel-line.txt"] = " ".join(plan.kernel_args) + "\n"
    found["apply.sh"] = script.render_apply(plan)
    found["rollback.sh"] = script.render_rollback()
    return found


def write_rendered(plan: HostPlan, folder: Path) -> list[Path]:
    """Write what a plan means into a folder.

    Raises:
        Invalid: the folder cannot be written.
    """
    written: list[Path] = []
    try:
        for name, content in sorted(render_plan(plan).items()):
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(content)
            written.append(path)
    except OSError as exc:
        raise errors.Invalid(f"{folder} cannot be written: {exc}") from exc
    return written


def apply_plan(
    door: HostDoor,
    plan: HostPlan,
    *,
    may_reboot: bool = False,
    layout: Layout | None = None,
    say: Callable[[str], None] = lambda _: None,
) -> Applied:
    """Put a plan on its host; with leave to reboot, also through the reboot.

    Args:
        door: the host.
        plan: its plan.
        may_reboot: reboot where the kernel line asks for it, wait, and go on.
        layout: where the host keeps Nova and Open vSwitch; None: found.
        say: told what happens.

    Raises:
        StepFailed: a step failed; what was done before it stays, and can be rolled back.
        Unreachable: the host does not answer, or did not come back.
    """
    done = _run(door, script.render_apply(plan, chosen=layout))
    if not done.needs_reboot or not may_reboot:
        return done
    say(f"rebooting {door.name}")
    _reboot(door, say)
    again = _run(door, script.render_apply(plan, chosen=layout))
    if again.needs_reboot:
        raise errors.StepFailed(
            f"{door.name} was rebooted, but its kernel line is still not the planned one: does it "
            "boot by another boot loader than GRUB?"
        )
    return Applied((*done.changes, *again.changes), needs_reboot=False, rebooted=True)


def roll_back(door: HostDoor) -> Applied:
    """Take back the last `apply_plan` that changed something.

    Raises:
        NotFound: nothing was applied.
        StepFailed: a step failed.
    """
    return _run(door, script.render_rollback())


def _run(door: HostDoor, text: str) -> Applied:
    output = door.run_script(text, timeout_s=APPLY_TIMEOUT_S)
    lines = output.stdout.splitlines()
    if output.exit_code == 4:
        raise errors.NotFound(f"{door.name}: {lines[-1] if lines else 'nothing was applied'}")
    if output.exit_code != 0:
        said = next((line for line in reversed(lines) if line.startswith("failed")), "")
        said = said or output.stderr.strip()[-400:] or "it said nothing"
        raise errors.StepFailed(f"on {door.name}: {said}", output=output.stdout + output.stderr)
    changes = tuple(line for line in lines if not line.startswith(("same ", "reboot ", "done")))
    return Applied(changes, any(line.startswith("reboot ") for line in lines))


def _boot_id(door: HostDoor) -> str:
    return door.run_script("cat /proc/sys/kernel/random/boot_id", timeout_s=30).stdout.strip()


def _reboot(door: HostDoor, say: Callable[[str], None]) -> None:
    """Reboot a host and wait until it has booted anew.

    Raises:
        Unsupported: it is this very host.
        Unreachable: it did not come back in time.
    """
    if door.name == "local":
        raise errors.Unsupported(
            "this host cannot reboot itself and go on; reboot, then apply again"
        )
    before = _boot_id(door)
    try:
        door.run_script("(sleep 1; systemctl reboot) >/dev/null 2>&1 &", timeout_s=30)
    except errors.Transient:
        say("the host went while it was being told")
    deadline = time.monotonic() + REBOOT_TIMEOUT_S
    while time.monotonic() < deadline:
        try:
            now = _boot_id(door)
        except errors.Transient:
            now = ""
        if now and now != before:
            say(f"{door.name} is back")
            return
        time.sleep(POLL_S)
    raise errors.Unreachable(f"{door.name} did not come back within {REBOOT_TIMEOUT_S:.0f} s")


def read_fleet(paths: Sequence[Path]) -> tuple[list[host_inventory.HostInventory], list[str]]:
    """Read many inventories; a folder stands for all files in it.

    Returns:
        The inventories, and one sentence for each file that describes no host.
    """
    found: list[host_inventory.HostInventory] = []
    faults: list[str] = []
    for path in paths:
        for file in sorted(path.iterdir()) if path.is_dir() else [path]:
            if file.is_dir() or file.name.startswith("."):
                continue
            try:
                found += document.parse_inventories(read_text(file), name=file.stem)
            except errors.IsthmusError as exc:
                faults.append(f"{file}: {exc.message}")
    return found, faults


def plan_fleet(
    inventories: Sequence[host_inventory.HostInventory], intent: nfv_intent.NfvIntent
) -> tuple[fleet.GroupPlan, ...]:
    """Group hosts of equal hardware and plan each group once."""
    return fleet.plan_fleet(inventories, intent)


def check_host(
    door: HostDoor, plan: HostPlan | None = None, *, layout: Layout | None = None
) -> Report:
    """Check a live host.

    Raises:
        Unreachable: nobody answered.
        StepFailed: the facts could not be gathered.
    """
    return check_facts(collect_facts(door, settings=True, layout=layout), plan)


def measure_host(
    door: HostDoor,
    *,
    seconds: int,
    generator: HostDoor | None = None,
    address: str = "",
    port: int = 5201,
) -> measure.Measurement:
    """Read a host's data path twice, with a generator running in between where one is given.

    Args:
        door: the host whose switch is read.
        seconds: between the readings.
        generator: where iperf3 runs; None: what passes anyway is measured.
        address: of the iperf3 server behind the data path.
        port: of that server.

    Raises:
        Unreachable: a host does not answer.
        StepFailed: the switch or the generator does not run.
    """
    before = measure.parse_reading(_read_counters(door))
    generated = None
    if generator is None:
        time.sleep(seconds)
    else:
        text = measure.render_generator(address, seconds=seconds, port=port)
        output = generator.run_script(text, timeout_s=seconds + 60)
        if output.exit_code != 0:
            said = (output.stderr.strip() or output.stdout.strip())[-300:]
            raise errors.StepFailed(f"the generator on {generator.name} failed: {said}")
        generated = measure.parse_generated(output.stdout)
    after = measure.parse_reading(_read_counters(door))
    settled = _await_records(door, after) if generator is not None else after
    result = measure.compare(before, dataclasses.replace(after, recorded=settled.recorded))
    return dataclasses.replace(result, generated=generated)


def _await_records(door: HostDoor, reading: measure.Reading) -> measure.Reading:
    """Read until the switch's database has what its datapath had counted; not for ever."""
    deadline = time.monotonic() + RECORDS_TIMEOUT_S
    later = reading
    while not measure.has_caught_up(reading, later) and time.monotonic() < deadline:
        time.sleep(POLL_S)
        later = measure.parse_reading(_read_counters(door))
    return later


def _read_counters(door: HostDoor) -> str:
    output = door.run_script(measure.render_reading(), timeout_s=60)
    if output.exit_code != 0:
        said = output.stderr.strip().splitlines() or ["it said nothing"]
        raise errors.StepFailed(f"Open vSwitch of {door.name} gives no counters: {said[-1]}")
    return output.stdout


def check_facts(text: str, plan: HostPlan | None = None) -> Report:
    """Check a host from facts that were gathered before (with settings).

    Raises:
        ProtocolError: they are garbled.
    """
    return checks.check_host(state.parse_state(facts.parse_facts(text)), plan)
