"""The scripts that put a plan on its host and take it back.

Both are plain shell (`apply.sh` and `rollback.sh` beside this file), run through the same door as
everything else, and tell line by line what they did, so that a second run shows nothing changed.
`apply` works towards a state, not from one: it writes files first and touches Open vSwitch only
where the running kernel is already the planned one, since a switch with dpdk-init and no huge pages
aborts. Each run that changes something keeps a generation of what was there.
"""

import base64
import shlex
from collections.abc import Iterable
from importlib import resources

from isthmus.model.host_plan import HostPlan
from isthmus.nfv.render import files, ovs

#: Where a host keeps its generations.
STATE = "/var/lib/isthmus/nfv"


def _read(name: str) -> str:
    return resources.files(__package__).joinpath(name).read_text()


def render_apply(plan: HostPlan) -> str:
    """Write the script that puts the plan on its host."""
    rendered = files.render_files(plan)
    units = [file.path.rpartition("/")[2] for file in rendered if file.effect is files.Effect.UNITS]
    values = {
        "S": STATE,
        "ARGS": " ".join(plan.kernel_args),
        "UNITS": " ".join(units),
        "PROFILE": plan.tuned_profile,
        "START": " " + " ".join(sorted(ovs.START_KEYS)) + " ",
        "DPDK": str(int(bool(plan.dpdk_ports))),
    }
    lines = [f"{name}={shlex.quote(value)}" for name, value in values.items()]
    lines.append(_read("apply.sh"))
    lines += [_put(file) for file in rendered]
    lines.append("settle")
    if plan.other_config or plan.external_ids or plan.kernel_ports:
        lines += ["switch", *_keys(plan), "vswitchd", *_ports(plan)]
    return "\n".join([*lines, "say done"]) + "\n"


def render_rollback() -> str:
    """Write the script that puts back what the newest generation kept."""
    return f"S={shlex.quote(STATE)}\n" + _read("rollback.sh")


def _put(file: files.RenderedFile) -> str:
    body = base64.b64encode(file.content.encode()).decode()
    return f"put {shlex.quote(file.path)} {file.mode:o} {file.effect} <<'END'\n{body}\nEND"


def _keys(plan: HostPlan) -> Iterable[str]:
    wanted = dict.fromkeys(ovs.OWNED_KEYS, "") if plan.other_config else {}
    for name, value in (wanted | dict(plan.other_config)).items():
        yield f"key other_config {name} {shlex.quote(value)}"
    for name, value in plan.external_ids.items():
        yield f"key external_ids {name} {shlex.quote(value)}"


def _ports(plan: HostPlan) -> Iterable[str]:
    bridges = [port.bridge for port in plan.dpdk_ports]
    bridges += [one.bridge for one in plan.kernel_ports]
    names = [port.bond or port.name for port in plan.dpdk_ports]
    names += [one.nic for one in plan.kernel_ports]
    yield from (f"bridge {shlex.quote(name)}" for name in dict.fromkeys(bridges))
    yield from (f"port {shlex.quote(name)}" for name in dict.fromkeys(names))
    for command in ovs.render_ports(plan):
        text = shlex.join(command)
        yield f"{text} || fail {shlex.quote(text)}"
