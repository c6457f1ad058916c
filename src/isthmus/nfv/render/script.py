"""The scripts that put a plan on its host and take it back.

Both are plain shell (`apply.sh` and `rollback.sh` beside this file), run through the same client as
everything else, and tell line by line what they did, so that a second run shows nothing changed.
`apply` works towards a state, not from one: it writes files first and touches Open vSwitch only
where the running kernel is already the planned one, since a switch with dpdk-init and no huge pages
aborts. Each run that changes something keeps a generation of what was there.
"""

import base64
import shlex
from collections.abc import Iterable
from importlib import resources

from isthmus.facts.script import render_functions
from isthmus.model.host.host_plan import HostPlan, NodePlan
from isthmus.model.host.nfv_layout import Layout
from isthmus.nfv.plan import settings
from isthmus.nfv.plan.demand import SMALL_KIB
from isthmus.nfv.render import files, layout, ovs, slices, texts

#: Where a host keeps its generations.
STATE = "/var/lib/isthmus/nfv"
#: Files of options, which each layout has elsewhere.
KINDS = {files.NOVA: "nova", files.OVS_AGENT: "ovs_agent", files.SRIOV_AGENT: "sriov_agent"}


def _read(name: str) -> str:
    return resources.files(__package__).joinpath(name).read_text()


def read_apply() -> str:
    """Return the functions of `apply`, which do nothing but find the layout."""
    return _read("apply.sh")


#: Seconds that a restarted service must stay: nova-compute needs most of them to read its options.
STAY_S = 20


def render_apply(plan: HostPlan, *, chosen: Layout | None = None) -> str:
    """Write the script that puts the plan on its host.

    Args:
        plan: the plan.
        chosen: the host's layout; None: the script finds it.
    """
    rendered = files.render_files(plan)
    units = [file.path.rpartition("/")[2] for file in rendered if file.effect is files.Effect.UNITS]
    old = sorted(
        key.partition("/")[2]
        for key, clash in settings.OLD_OPTIONS.items()
        if clash & set(plan.nova)
    )
    values = {
        "S": STATE,
        "OLD": " ".join(old),
        "STAY": str(STAY_S),
        "ARGS": " ".join(plan.kernel_args),
        "UNITS": " ".join(units),
        "PROFILE": plan.tuned_profile,
        "START": " " + " ".join(sorted(ovs.START_KEYS)) + " ",
        "DPDK": str(int(bool(plan.dpdk_ports))),
    }
    lines = [render_functions(layout=chosen)]
    lines += [f"{name}={shlex.quote(value)}" for name, value in values.items()]
    lines += [render_places(), read_apply(), f"match {shlex.quote(_describe_nodes(plan))}"]
    lines.append(shlex.join(["devices", *_list_devices(plan)]))
    if taken := [shlex.quote(name) for name in taken_ports(plan)]:
        lines.append(f"guard {' '.join(taken)}")
    lines.append("retire")
    lines += [_put(file) for file in rendered]
    lines += [*_contain(plan), "settle"]
    lines.append(shlex.join(["pages", *_list_pools(plan)]))
    if plan.other_config or plan.external_ids or plan.kernel_ports:
        lines += ["switch", *_keys(plan), "vswitchd", *_ports(plan)]
    return "\n".join([*lines, "say done"]) + "\n"


def _describe_nodes(plan: HostPlan) -> str:
    """Write what a host must have of each node: memory for the pages, in KiB, and CPUs."""
    return " ".join(
        f"{node.id}:{sum(page.total * page.size_kib for page in node.pages)}:"
        + ",".join(map(str, sorted(_cpus_of(node))))
        for node in plan.nodes
    )


def _list_pools(plan: HostPlan) -> list[str]:
    return [
        f"{node.id}:{page.size_kib}:{page.total}"
        for node in plan.nodes
        for page in node.pages
        if page.total and page.size_kib != SMALL_KIB
    ]


def _list_devices(plan: HostPlan) -> list[str]:
    addresses = [one.pci_address for one in plan.dpdk_ports]
    addresses += [one.pci_address for one in plan.sriov]
    return sorted({one for one in addresses if one})


def _cpus_of(node: NodePlan) -> tuple[int, ...]:
    """Return all CPUs of a node in a plan."""
    sets = (node.host_cpus, node.shared_cpus, node.pmd_cpus, node.idle_cpus, node.dedicated_cpus)
    return tuple(cpu for one in sets for cpu in one)


def render_rollback() -> str:
    """Write the script that puts back what the newest generation kept."""
    return "\n".join([render_functions(), f"S={shlex.quote(STATE)}", _read("rollback.sh")])


def taken_ports(plan: HostPlan) -> list[str]:
    """List the interfaces that a plan takes from the host's own use."""
    polled = [one.nic for one in plan.dpdk_ports if one.driver and not one.carries_management]
    bridged = [one.nic for one in plan.kernel_ports if not one.carries_management]
    return [*polled, *bridged]


def render_places() -> str:
    """Write where each layout has its options, and what is restarted for them, as shell."""
    place, units, kept = [], [], []
    for name, one in layout.PLACES.items():
        for kind in ("nova", "ovs_agent", "sriov_agent"):
            where: layout.Place = getattr(one, kind)
            place.append(f"{name}:{kind}) echo {'merge' if where.merge else 'put'} {where.path} ;;")
            units.append(f"{name}:{kind}) echo {' '.join(getattr(one, f'{kind}_units'))} ;;")
        kept.append(f"{name}) echo {one.nova_files} ;;")
    return "\n".join(
        f"{function}() {{ case {subject} in\n" + "\n".join(lines) + "\nesac; }"
        for function, subject, lines in (
            ("place", "$L:$1", place),
            ("units", "$L:$1", units),
            ("nova_files", "$L", kept),
        )
    )


def _put(file: files.RenderedFile) -> str:
    body = base64.b64encode(file.content.encode()).decode()
    if kind := KINDS.get(file.path):
        return f"options {kind} {file.effect} <<'END'\n{body}\nEND"
    return f"put {shlex.quote(file.path)} {file.mode:o} {file.effect} <<'END'\n{body}\nEND"


def _contain(plan: HostPlan) -> Iterable[str]:
    """Write what is done only where services are in containers."""
    for test, files_of, effect in (
        ('[ "$E" = docker ]', slices.render_docker(plan), files.Effect.BOOT),
        ('[ -n "$V" ]', slices.render_containers(plan), files.Effect.UNITS),
    ):
        for path, text in files_of.items():
            file = files.RenderedFile(path, texts.with_head(plan, text), 0o644, effect)
            yield f"if {test}; then\n{_put(file)}\nfi"
    if plan.pmd_cpus:
        yield f"contain {slices.CONTAINERS_SLICE} {slices.list_begin(plan)}"


def _keys(plan: HostPlan) -> Iterable[str]:
    wanted = dict.fromkeys(ovs.OWNED_KEYS, "") if plan.other_config else {}
    for name, value in (wanted | dict(plan.other_config)).items():
        yield f"key other_config {name} {shlex.quote(value)}"
    for name, value in plan.external_ids.items():
        yield f"key external_ids {name} {shlex.quote(value)}"


def _ports(plan: HostPlan) -> Iterable[str]:
    bridges = [port.bridge for port in plan.dpdk_ports]
    bridges += [one.bridge for one in plan.kernel_ports]
    names = [(port.bond or port.name, port.bridge) for port in plan.dpdk_ports]
    names += [(one.nic, one.bridge) for one in plan.kernel_ports]
    yield from (f"bridge {shlex.quote(name)}" for name in dict.fromkeys(bridges))
    yield from (f"port {shlex.join(pair)}" for pair in dict.fromkeys(names))
    for command in ovs.render_ports(plan):
        text = shlex.join(command)
        yield f"{text} || fail {shlex.quote(text)}"
