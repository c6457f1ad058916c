"""Checks of the files that a plan means for its host, and of what they bring about."""

import hashlib
import re
from collections.abc import Iterator

from isthmus.facts.host import oslo_conf, own_files, services
from isthmus.model.host.host_plan import HostPlan
from isthmus.model.verdict import Severity, Subject, Verdict
from isthmus.nfv.check.rule import APPLY, Rule, where_planned
from isthmus.nfv.check.state import HostState
from isthmus.nfv.check.topic.kernel import parse_size
from isthmus.nfv.plan.settings import VHOST_SOCKETS
from isthmus.nfv.render import files
from isthmus.nfv.render.layout import owned_paths

#: Files that are compared by what they say, since facts hold that.
READ = frozenset({files.GRUB, files.TUNED})
#: Users and groups that QEMU never runs as; a group of the switch's own has QEMU in it, or not.
NOT_QEMU = frozenset({"root", "openvswitch"})
_HEAD = re.compile(r"^\s*#.*$\n?", re.MULTILINE)


def check_files(state: HostState, plan: HostPlan | None) -> Iterator[Verdict]:
    """The boot loader's and tuned's files say what is planned."""
    assert plan is not None
    for file in files.render_files(plan):
        if file.path not in READ:
            continue
        there = state.files.get(file.path)
        if there is not None and _said(there) == _said(file.content):
            continue
        yield _drift(file.path, "is missing" if there is None else "was changed", there, file)


def _said(text: str) -> set[str]:
    """Return the words of a file without its comments; the boot loader's also without its shell."""
    text = _HEAD.sub("", text)
    for wrapper in ('GRUB_CMDLINE_LINUX="$GRUB_CMDLINE_LINUX', '"'):
        text = text.replace(wrapper, " ")
    return set(text.split())


def _drift(path: str, said: str, there: str | None, file: files.RenderedFile) -> Verdict:
    if there is None:
        evidence = "no such file"
    else:
        new = sorted(_said(file.content) - _said(there))
        evidence = f"without {new[0]!r}" if new else "with lines that are not planned"
    at_boot = path == files.GRUB
    return Verdict(
        code="file.missing" if there is None else "file.drift",
        severity=Severity.BROKEN if at_boot else Severity.DEGRADED,
        subject=Subject(path),
        message=f"{path} {said}" + ("; the next boot will not be as planned" if at_boot else ""),
        evidence=f"{path}: {evidence}",
        remedy=APPLY,
    )


def check_digests(state: HostState, plan: HostPlan | None) -> Iterator[Verdict]:
    """Every other file that the plan owns is byte for byte as rendered."""
    assert plan is not None
    owned = owned_paths(state.layout)
    for file in files.render_files(plan):
        path = owned.get(file.path, file.path)
        if file.path in READ or path is None or file.effect is files.Effect.NOVA:
            continue  # options are read one by one
        if file.effect is files.Effect.NEUTRON:
            continue
        digest = state.digests.get(path)
        if digest == hashlib.sha256(file.content.encode()).hexdigest():
            continue
        said = "is missing" if digest is None else "was changed"
        yield Verdict(
            code="file.missing" if digest is None else "file.drift",
            severity=Severity.DEGRADED,
            subject=Subject(path),
            message=f"{path} {said}; the next boot may not be as planned",
            evidence=f"{path}: "
            + ("no such file" if digest is None else f"sha256 {digest[:16]}, not as rendered"),
            remedy=APPLY,
        )


def check_tuned(state: HostState, plan: HostPlan | None) -> Iterator[Verdict]:
    """The tuned profile is active, where tuned is there."""
    assert plan is not None
    if state.tuned_profile == plan.tuned_profile:
        for one in state.services:
            if one.name == "tuned" and not one.runs:
                yield Verdict(
                    code="tuned.profile",
                    severity=Severity.DEGRADED,
                    subject=Subject("tuned"),
                    message=f"tuned does not run, so its profile {plan.tuned_profile} is not in "
                    "force",
                    evidence=one.says,
                    remedy="systemctl enable --now tuned",
                )
        return
    absent = "/etc/tuned/active_profile" not in state.files
    yield Verdict(
        code="tuned.profile",
        severity=Severity.ADVICE if absent else Severity.DEGRADED,
        subject=Subject("tuned"),
        message="tuned is not here; the kernel line isolates without it, power and timers stay as "
        "they are"
        if absent
        else f"tuned's profile is {state.tuned_profile or 'none'}, planned is {plan.tuned_profile}",
        evidence=f"/etc/tuned/active_profile: {state.tuned_profile or 'none'}",
        remedy=f"install tuned, then tuned-adm profile {plan.tuned_profile}",
    )


def check_mounts(state: HostState, plan: HostPlan | None) -> Iterator[Verdict]:
    """Each page size of the plan has a mount: libvirt knows no other way to a page."""
    assert plan is not None
    wanted = {page.size_kib for node in plan.nodes for page in node.pages if page.total}
    yield from _say_unmounted(state, wanted, plan.default_page_kib)


def check_pools_mounted(state: HostState, plan: HostPlan | None) -> Iterator[Verdict]:
    """Each page size that the host has pages of has a mount."""
    del plan
    match = re.search(r"Hugepagesize:\s+(\d+) kB", state.files.get("/proc/meminfo", ""))
    default = int(match[1]) if match else 0
    pools = [pool for node in state.inventory.nodes for pool in node.hugepages]
    yield from _say_unmounted(state, {pool.size_kib for pool in pools if pool.total}, default)


def has_pools(state: HostState, plan: HostPlan | None) -> str:
    """Apply a rule where there are huge pages, and no plan names their sizes."""
    if plan is not None:
        return "the page sizes of the plan are held against it"
    there = any(pool.total for node in state.inventory.nodes for pool in node.hugepages)
    return "" if there else "there are no huge pages"


def _say_unmounted(state: HostState, wanted: set[int], default: int) -> Iterator[Verdict]:
    have: set[int] = set()
    for _, mount in state.mounts:
        match = re.search(r"pagesize=(\w+)", mount)
        size = parse_size(match[1]) if match else default
        if not size:
            return  # of the default size, which the facts do not have
        have.add(size)
    for size in sorted(wanted - have):
        yield Verdict(
            code="pages.mount",
            severity=Severity.BROKEN,
            subject=Subject(f"{size} KiB"),
            message=f"nothing is mounted for pages of {size} KiB: instances with them do not start",
            evidence="/proc/mounts: hugetlbfs at "
            + (", ".join(where for where, _ in state.mounts) or "no place"),
            remedy="systemctl start "
            + ("dev-hugepages.mount" if size == default else files.mount_unit(size))
            + ", then restart libvirt",
        )


def check_sockets(state: HostState, plan: HostPlan | None) -> Iterator[Verdict]:
    """The folder of vhost-user sockets is there, and QEMU may write to it."""
    del plan
    mode, _, owner = state.sockets.partition(" ")
    user, _, group = owner.partition(" ")
    open_to_owner = len(mode) >= 3 and mode[-3] in "2367"
    open_to_group = len(mode) >= 3 and mode[-2] in "2367"
    if state.sockets and (
        (user not in NOT_QEMU and open_to_owner)
        or (group not in NOT_QEMU and open_to_group)
        or mode[-1] in "2367"
    ):
        return
    yield Verdict(
        code="vhost.folder",
        severity=Severity.BROKEN,
        subject=Subject(VHOST_SOCKETS),
        message=f"{VHOST_SOCKETS} "
        + ("is QEMU's to read only" if state.sockets else "is not there")
        + ": instances with vhost-user ports do not start",
        evidence=f"stat {VHOST_SOCKETS}: {state.sockets or 'no such folder'}",
        remedy="systemctl restart isthmus-nfv-devices",
    )


PRACTICE = (Rule(check_pools_mounted, (own_files.MOUNTS, oslo_conf.NOVA), has_pools),)
PLANNED = (
    Rule(check_files, (own_files.BOOT, own_files.TUNED)),
    Rule(check_digests, (own_files.DIGESTS,)),
    Rule(
        check_tuned,
        (own_files.TUNED,),
        where_planned(lambda plan: plan.tuned_variables, "no profile of tuned's is planned"),
        helped_by=(services.UNITS_SHOWN,),
    ),
    Rule(check_mounts, (own_files.MOUNTS,)),
    Rule(
        check_sockets,
        (own_files.SOCKETS,),
        where_planned(lambda plan: plan.dpdk_ports, "no DPDK port is planned"),
    ),
)
