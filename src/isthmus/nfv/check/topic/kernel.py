"""Checks of the kernel: how it was started, and what it really made of that."""

import re
from collections.abc import Iterator, Sequence

from isthmus.facts import cpuset
from isthmus.model.host.host_plan import HostPlan
from isthmus.model.verdict import Severity, Subject, Verdict
from isthmus.nfv.check.rule import Rule
from isthmus.nfv.check.state import HostState
from isthmus.nfv.render import files

REBOOT = "isthmus nfv apply, then reboot the host"
CPU_ARGS = frozenset({"isolcpus", "nohz_full", "rcu_nocbs", "irqaffinity"})
IRQS = "/proc/irq/default_smp_affinity"
_CPU_STARTS = frozenset("0123456789N")
_SIZE = re.compile(r"^(\d+)([KMG])$")
_UNITS = {"K": 1, "M": 1024, "G": 1048576}


def check_line(state: HostState, plan: HostPlan | None) -> Iterator[Verdict]:
    """Every planned argument is on the running kernel's line."""
    assert plan is not None
    running, last = state.kernel_args, max(state.online, default=0)
    at_boot = files.GRUB in state.files
    for arg in plan.kernel_args:
        name = arg.partition("=")[0]
        given = [one.partition("=")[2] for one in running if one.partition("=")[0] == name]
        if _is_given(arg, running, last):
            continue
        yield Verdict(
            code="kernel.arg",
            severity=Severity.BROKEN,
            subject=Subject(name),
            message=f"the running kernel was not started with {arg}",
            evidence=f"/proc/cmdline has {name}={', '.join(given)}"
            if given
            else f"/proc/cmdline has no {name}",
            remedy="reboot the host" if at_boot else REBOOT,
        )


def _is_given(arg: str, running: Sequence[str], last: int) -> bool:
    """Tell whether an argument is on a line; of one with CPUs the same ones and flags will do."""
    name, _, value = arg.partition("=")
    given = [one.partition("=")[2] for one in running if one.partition("=")[0] == name]
    return arg in running or (
        name in CPU_ARGS
        and len(given) == 1
        and cpus_of(given[0], last) == cpus_of(value, last)
        and _flags_of(value) <= (_flags_of(given[0]) or {"domain"})
    )


def cpus_of(value: str, last: int = 0) -> tuple[int, ...]:
    """Read the CPUs of an argument such as managed_irq,domain,2-7.

    Args:
        value: of the argument.
        last: the highest CPU, which `N` and `all` mean.
    """
    parts = [f"0-{last}" if part == "all" else part for part in value.split(",")]
    cpus = (re.sub(r"\bN\b", str(last), part) for part in parts if part[:1] in _CPU_STARTS)
    return cpuset.parse_list(",".join(cpus))


def _flags_of(value: str) -> set[str]:
    return {part for part in value.split(",") if part[:1] not in _CPU_STARTS and part != "all"}


def check_isolated(state: HostState, plan: HostPlan | None) -> Iterator[Verdict]:
    """The kernel isolates just the planned CPUs."""
    assert plan is not None
    planned = plan.isolated_cpus
    booted = all(
        _is_given(arg, state.kernel_args, max(state.online, default=0))
        for arg in plan.kernel_args
        if arg.startswith("isolcpus=")
    )
    if state.isolated != planned and booted:
        yield Verdict(
            code="kernel.isolated",
            severity=Severity.BROKEN,
            subject=Subject("isolated CPUs"),
            message=f"the kernel isolates {_list(state.isolated)}, planned is {_list(planned)}",
            evidence=f"/sys/devices/system/cpu/isolated: {_list(state.isolated)}",
            remedy=REBOOT,
        )


def _list(cpus: tuple[int, ...]) -> str:
    return cpuset.render_list(cpus) or "none"


def _nohz_words(state: HostState) -> list[str]:
    return [one.partition("=")[2] for one in state.kernel_args if one.startswith("nohz_full=")]


def asks_nohz(state: HostState, plan: HostPlan | None) -> str:
    """Apply a rule where the kernel was told to stop its tick; `check_line` names it if planned."""
    del plan
    return "" if _nohz_words(state) else "the kernel line has no nohz_full"


def asks_pages(state: HostState, plan: HostPlan | None) -> str:
    """Apply a rule where the kernel line asks for huge pages and no plan counts them."""
    if plan is not None:
        return "huge pages are counted against the plan"
    return "" if pages_asked(state.kernel_args) else "the kernel line asks for no huge pages"


def check_nohz(state: HostState, plan: HostPlan | None) -> Iterator[Verdict]:
    """The kernel has stopped its tick where its line says so: it may do so nowhere, or in part."""
    del plan
    given = _nohz_words(state)
    asked = set(cpus_of(given[-1], max(state.online, default=0))) if given else set()
    if given and given[-1] == "all":
        asked -= {0}  # the kernel keeps the one that it boots on for itself
    if missing := sorted(asked & set(state.online) - set(state.nohz_full)):
        yield Verdict(
            code="kernel.nohz_full",
            severity=Severity.DEGRADED,
            subject=Subject(f"CPU {cpuset.render_list(missing)}"),
            message=f"the kernel did not take nohz_full: its tick goes on on CPU "
            f"{cpuset.render_list(missing)}",
            evidence=f"/proc/cmdline has nohz_full={given[-1]}, "
            f"/sys/devices/system/cpu/nohz_full: {_list(state.nohz_full)}",
            remedy="give isolcpus=nohz and nohz_full the same CPUs: of two that differ the kernel "
            "takes the first"
            if state.nohz_full
            else "boot a kernel that is built with CONFIG_NO_HZ_FULL; it says in its log "
            "(Housekeeping:) where it found no CPU list",
        )


def check_default_page(state: HostState, plan: HostPlan | None) -> Iterator[Verdict]:
    """The default huge page has the planned size: what asks for no size gets that one."""
    assert plan is not None
    match = re.search(r"Hugepagesize:\s+(\d+) kB", state.files.get("/proc/meminfo", ""))
    if match and int(match[1]) != plan.default_page_kib:
        yield Verdict(
            code="kernel.default_page",
            severity=Severity.BROKEN,
            subject=Subject("default_hugepagesz"),
            message=f"the default huge page has {match[1]} KiB, planned are "
            f"{plan.default_page_kib} KiB",
            evidence=f"/proc/meminfo: Hugepagesize: {match[1]} kB",
            remedy=REBOOT + "; a CPU or kernel without that size keeps its own",
        )


def check_default_irqs(state: HostState, plan: HostPlan | None) -> Iterator[Verdict]:
    """Interrupts go to the host's CPUs where nobody says otherwise."""
    assert plan is not None
    mask = state.rest.get(IRQS, "")
    hit = sorted(set(cpuset.parse_mask(mask)) & set(plan.isolated_cpus)) if mask else []
    # Before the reboot it is the missing argument that is named.
    if hit and any(one.startswith("irqaffinity=") for one in state.kernel_args):
        yield Verdict(
            code="kernel.irqaffinity",
            severity=Severity.DEGRADED,
            subject=Subject(f"CPU {cpuset.render_list(hit)}"),
            message=f"new interrupts may go to CPU {cpuset.render_list(hit)}, which poll or belong "
            "to instances, whatever the kernel line says",
            evidence=f"{IRQS}: {mask}",
            remedy="find out who widened it (irqbalance, tuned), and reboot the host",
        )


def parse_size(text: str) -> int | None:
    """Read the size of a page as the kernel line has it, in KiB; None where it is none."""
    match = _SIZE.match(text)
    return int(match[1]) * _UNITS[match[2]] if match else None


def pages_asked(args: tuple[str, ...]) -> dict[tuple[int, int | None], int]:
    """Return what a kernel line asks for: (page size in KiB, node or None for all) -> pages.

    An `hugepages=` before any `hugepagesz=` counts in the default size, which is left out here
    where the line does not give it.
    """
    found: dict[tuple[int, int | None], int] = {}
    default = next(
        (parse_size(one.partition("=")[2]) for one in args if one.startswith("default_hugepagesz")),
        None,
    )
    size = default
    for arg in args:
        name, _, value = arg.partition("=")
        if name == "hugepagesz":
            size = parse_size(value)
        elif name == "hugepages" and size:
            for part in value.split(","):
                node, colon, count = part.partition(":")
                if (count if colon else node).isdigit():
                    key = (size, int(node) if colon and node.isdigit() else None)
                    found[key] = int(count if colon else node)
    return found


def check_pages_asked(state: HostState, plan: HostPlan | None) -> Iterator[Verdict]:
    """The kernel has made the huge pages of its line: it gives fewer without a word."""
    del plan
    for (size, node), wanted in pages_asked(state.kernel_args).items():
        have = sum(
            pool.total
            for one in state.inventory.nodes
            if node in (None, one.id)
            for pool in one.hugepages
            if pool.size_kib == size
        )
        if have < wanted:
            where = "the host" if node is None else f"node {node}"
            yield Verdict(
                code="pages.total",
                severity=Severity.BROKEN,
                subject=Subject(where),
                message=f"{where} has {have} pages of {size} KiB, the kernel line asks for "
                f"{wanted}",
                evidence=f"nr_hugepages of {size} KiB: {have}",
                remedy="free memory was short when they were made: reboot, or ask for fewer; a CPU "
                "or kernel without that size makes none",
            )


PRACTICE = (Rule(check_nohz, (), asks_nohz), Rule(check_pages_asked, (), asks_pages))
PLANNED = (
    Rule(check_line),
    Rule(check_isolated),
    Rule(check_default_page),
    Rule(check_default_irqs),
)
