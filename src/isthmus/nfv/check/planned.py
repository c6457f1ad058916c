"""Checks of a host against its plan; one function a thing, each gives findings and never raises.

Values are compared by meaning where the field has several spellings: CPU sets as sets, masks as
numbers, options by the last value that oslo.config would take.
"""

from collections.abc import Iterator, Mapping

from isthmus.model.host_plan import DpdkPortPlan, HostPlan
from isthmus.model.nfv_finding import Finding, Severity
from isthmus.nfv import cpuset
from isthmus.nfv.check.state import HostState, Interface
from isthmus.nfv.render import files, ovs

APPLY = "isthmus nfv apply puts it right"
REBOOT = "isthmus nfv apply, then reboot the host"
CPU_ARGS = frozenset({"isolcpus", "nohz_full", "rcu_nocbs", "irqaffinity"})
CPU_OPTIONS = frozenset({"compute/cpu_dedicated_set", "compute/cpu_shared_set"})
#: Processes that are instances.
EMULATORS = ("qemu-system", "qemu-kvm", "kvm")
#: Options that may be given several times, each counting.
MULTI_OPTIONS = frozenset({"DEFAULT/reserved_huge_pages", "pci/device_spec", "pci/alias"})


def check_cpus_online(state: HostState, plan: HostPlan) -> Iterator[Finding]:
    """Every planned CPU runs."""
    planned = {*plan.host_cpus, *plan.shared_cpus, *plan.isolated_cpus}
    if missing := sorted(planned - set(state.online)):
        yield Finding(
            code="cpu.offline",
            severity=Severity.BROKEN,
            subject=f"CPU {cpuset.render_list(missing)}",
            message=f"CPU {cpuset.render_list(missing)} is planned but does not run",
            evidence=f"/sys/devices/system/cpu/online: {cpuset.render_list(state.online)}",
            remedy="bring it online (echo 1 >/sys/devices/system/cpu/cpuN/online), or plan anew",
        )


def check_kernel_line(state: HostState, plan: HostPlan) -> Iterator[Finding]:
    """Every planned argument is on the running kernel's line."""
    running = state.kernel_args
    at_boot = files.GRUB in state.files
    for arg in plan.kernel_args:
        name, _, value = arg.partition("=")
        given = [one.partition("=")[2] for one in running if one.partition("=")[0] == name]
        if arg in running or (name in CPU_ARGS and _same_cpus(given, value)):
            continue
        yield Finding(
            code="kernel.arg",
            severity=Severity.BROKEN,
            subject=name,
            message=f"the running kernel was not started with {arg}",
            evidence=f"/proc/cmdline has {name}={', '.join(given)}"
            if given
            else f"/proc/cmdline has no {name}",
            remedy="reboot the host" if at_boot else REBOOT,
        )


def _same_cpus(given: list[str], value: str) -> bool:
    return len(given) == 1 and _cpus_of(given[0]) == _cpus_of(value)


def _cpus_of(value: str) -> tuple[int, ...]:
    """The CPUs of an argument such as managed_irq,domain,2-7."""
    return cpuset.parse_list(",".join(part for part in value.split(",") if part[:1].isdigit()))


def check_isolation(state: HostState, plan: HostPlan) -> Iterator[Finding]:
    """The kernel isolates just the planned CPUs."""
    planned = plan.isolated_cpus
    if state.isolated != planned and _is_booted(state, plan):
        yield Finding(
            code="kernel.isolated",
            severity=Severity.BROKEN,
            subject="isolated CPUs",
            message=f"the kernel isolates {_list(state.isolated)}, planned is {_list(planned)}",
            evidence=f"/sys/devices/system/cpu/isolated: {_list(state.isolated)}",
            remedy=REBOOT,
        )


def _is_booted(state: HostState, plan: HostPlan) -> bool:
    return all(arg in state.kernel_args for arg in plan.kernel_args)


def _list(cpus: tuple[int, ...]) -> str:
    return cpuset.render_list(cpus) or "none"


def check_files(state: HostState, plan: HostPlan) -> Iterator[Finding]:
    """The boot loader's and tuned's files are as rendered."""
    for file in files.render_files(plan):
        if file.path not in {files.GRUB, files.TUNED}:
            continue
        there = state.files.get(file.path)
        if there is not None and there.strip() == file.content.strip():
            continue
        said = "is missing" if there is None else "was changed"
        yield Finding(
            code="file.missing" if there is None else "file.drift",
            severity=Severity.BROKEN if file.path == files.GRUB else Severity.DEGRADED,
            subject=file.path,
            message=f"{file.path} {said}"
            + ("; the next boot will not be as planned" if file.path == files.GRUB else ""),
            evidence=f"{file.path}: {_difference(file.content, there)}",
            remedy=APPLY,
        )


def _difference(wanted: str, there: str | None) -> str:
    if there is None:
        return "no such file"
    old = set(there.strip().splitlines())
    new = [line for line in wanted.strip().splitlines() if line not in old]
    return f"without {new[0]!r}" if new else "with lines that are not planned"


def check_pages(state: HostState, plan: HostPlan) -> Iterator[Finding]:
    """Each node has its huge pages: the kernel gives fewer without a word."""
    have = {
        (node.id, pool.size_kib): pool for node in state.inventory.nodes for pool in node.hugepages
    }
    for node in plan.nodes:
        for page in node.pages:
            pool = have.get((node.id, page.size_kib))
            total = pool.total if pool else 0
            where = (
                f"/sys/devices/system/node/node{node.id}/hugepages/hugepages-{page.size_kib}kB/"
                "nr_hugepages"
            )
            if total != page.total:
                yield Finding(
                    code="pages.total",
                    severity=Severity.BROKEN if total < page.total else Severity.DEGRADED,
                    subject=f"node {node.id}",
                    message=f"node {node.id} has {total} pages of {page.size_kib} KiB, planned are "
                    f"{page.total}",
                    evidence=f"{where}: {total}",
                    remedy="systemctl restart isthmus-hugepages; where memory is in pieces, reboot",
                )


def check_pages_in_use(state: HostState, plan: HostPlan) -> Iterator[Finding]:
    """The switch has taken its pages, and nobody unknown has taken others."""
    if not (state.ovs_runs and state.dpdk_initialized):
        return
    has_guests = bool(state.domains) or any(
        thread.process.startswith(EMULATORS) for thread in state.threads
    )
    for seen, node in zip(state.inventory.nodes, plan.nodes, strict=False):
        for page in node.pages:
            pool = next((one for one in seen.hugepages if one.size_kib == page.size_kib), None)
            if pool is None or pool.free is None or pool.total != page.total:
                continue  # said already
            used = pool.total - pool.free
            short = used < page.for_ovs
            if not short and (has_guests or used == page.for_ovs):
                continue
            yield Finding(
                code="pages.short" if short else "pages.leaked",
                severity=Severity.DEGRADED,
                subject=f"node {node.id}",
                message=f"{used} pages of {page.size_kib} KiB are in use on node {node.id}, where "
                f"Open vSwitch should have {page.for_ovs}"
                + ("" if short else " and no instance runs"),
                evidence=f"node{node.id} hugepages-{page.size_kib}kB: {pool.free} of {pool.total} "
                "free",
                remedy="restart Open vSwitch once the pages are there"
                if short
                else "look for files left in /dev/hugepages (fuser -v shows who holds them)",
            )


def check_switch(state: HostState, plan: HostPlan) -> Iterator[Finding]:
    """Open vSwitch runs, with DPDK, on the planned settings."""
    if not plan.other_config and not plan.external_ids:
        return
    if not state.ovs_runs:
        yield Finding(
            code="ovs.down",
            severity=Severity.BROKEN,
            subject="Open vSwitch",
            message="Open vSwitch does not run",
            evidence=state.ovs_says or "ovs-vsctl gave no answer",
            remedy="systemctl restart openvswitch-switch; its log says why it went",
        )
    if plan.dpdk_ports and state.ovs_runs and not state.dpdk_initialized:
        yield Finding(
            code="ovs.dpdk",
            severity=Severity.BROKEN,
            subject="Open vSwitch",
            message="Open vSwitch runs without DPDK",
            evidence="Open_vSwitch dpdk_initialized: false",
            remedy="look for EAL in ovs-vswitchd.log; restart it once huge pages are there",
        )
    if not state.ovs_says or state.other_config:
        yield from _check_row(plan.other_config, state.other_config, "other_config", state, plan)
        yield from _check_row(plan.external_ids, state.external_ids, "external_ids", state, plan)


def _check_row(
    planned: Mapping[str, str],
    there: Mapping[str, str],
    column: str,
    state: HostState,
    plan: HostPlan,
) -> Iterator[Finding]:
    for key, value in planned.items():
        given = there.get(key, "")
        if key.endswith("-mask"):
            if cpuset.parse_mask(given) == cpuset.parse_mask(value):
                continue
        elif given == value:
            continue
        yield Finding(
            code=f"ovs.{key}",
            severity=Severity.BROKEN,
            subject=f"{column}:{key}",
            message=f"{column}:{key} is {given or 'not set'}, planned is {value}"
            + _say_mask(key, given, plan, state),
            evidence=f"Open_vSwitch {column}:{key}={given}" if given else f"no {column}:{key}",
            remedy=APPLY + ("; it restarts the switch" if key in ovs.START_KEYS else ""),
        )


def _say_mask(key: str, given: str, plan: HostPlan, state: HostState) -> str:
    """Say what a wrong PMD mask means for nodes and instances."""
    if key != "pmd-cpu-mask":
        return ""
    cpus = set(cpuset.parse_mask(given))
    said = []
    node_of = {cpu: core.node for core in state.inventory.cores for cpu in core.cpus}
    home = {node.id for node in plan.nodes if node.pmd_cpus}
    if strange := sorted({node_of[cpu] for cpu in cpus if cpu in node_of} - home):
        said.append(f"it polls on node {', '.join(map(str, strange))}, where no port is")
    if taken := sorted(cpus & set(plan.dedicated_cpus)):
        said.append(f"it takes CPU {cpuset.render_list(taken)} of pinned instances")
    return "".join(f": {one}" if not index else f", and {one}" for index, one in enumerate(said))


def check_ports(state: HostState, plan: HostPlan) -> Iterator[Finding]:
    """Every planned port is there, works, and has its queues where planned."""
    if not state.ovs_runs:
        return
    there = {one.name: one for one in state.interfaces}
    for port in plan.dpdk_ports:
        one = there.get(port.name)
        if one is None:
            yield _port_finding(
                "port.missing", port, f"{port.name} is not on {port.bridge}", "no such Interface"
            )
            continue
        if one.error:
            yield _error_finding(state, port, one)
        yield from _check_port(port, one)


def _error_finding(state: HostState, port: DpdkPortPlan, one: Interface) -> Finding:
    """Say what a port suffers from, with what the switch's log says about it."""
    logged = [line for line in state.switch_log.splitlines() if "netdev_dpdk|" in line]
    mine = [line for line in logged if f" {port.name}" in line or port.pci_address in line]
    # A pool that cannot be made for want of memory is tried again smaller; one that fails with
    # EINVAL has no driver for its ring.
    no_ring = any("Invalid argument" in line and "memory pool" in line for line in logged)
    return Finding(
        code="port.error",
        severity=Severity.BROKEN,
        subject=port.name,
        message=f"{port.name} does not work: {one.error}",
        evidence=(mine or logged or [one.error])[-1].rpartition("|ERR|")[2],
        remedy="install DPDK's ring mempool driver (Debian: librte-mempool-ring23), then restart "
        "Open vSwitch"
        if no_ring
        else "see ovs-vswitchd.log; is the device bound, and has its node huge pages?",
    )


def _check_port(port: DpdkPortPlan, one: Interface) -> Iterator[Finding]:
    wanted = {
        "devargs": (port.devargs, one.options.get("dpdk-devargs", "")),
        "queues": (str(port.rx_queues), one.options.get("n_rxq", "1")),
        "affinity": (ovs.render_affinity(port), one.other_config.get("pmd-rxq-affinity", "")),
    }
    if one.mtu is not None:
        wanted["mtu"] = (str(port.mtu), str(one.mtu))
    for what, (planned, given) in wanted.items():
        if planned != given:
            yield _port_finding(
                f"port.{what}",
                port,
                f"{port.name} has {what} {given or 'none'}, planned is {planned}",
                f"Interface {port.name}: {what} {given or 'not set'}",
            )


def _port_finding(code: str, port: DpdkPortPlan, message: str, evidence: str) -> Finding:
    return Finding(
        code=code,
        severity=Severity.BROKEN,
        subject=port.name,
        message=message,
        evidence=evidence,
        remedy=APPLY,
    )


def check_devices(state: HostState, plan: HostPlan) -> Iterator[Finding]:
    """Ports have their drivers, and physical functions their virtual ones."""
    by_address = {nic.pci_address: nic for nic in state.inventory.nics}
    for port in plan.dpdk_ports:
        nic = by_address.get(port.pci_address)
        if port.driver and nic is not None and nic.driver != port.driver:
            yield Finding(
                code="nic.driver",
                severity=Severity.BROKEN,
                subject=port.nic,
                message=f"{port.pci_address} is bound to {nic.driver or 'no driver'}, planned is "
                f"{port.driver}",
                evidence=f"/sys/bus/pci/devices/{port.pci_address}/driver: {nic.driver or 'none'}",
                remedy="systemctl restart isthmus-nfv-devices, then restart Open vSwitch",
            )
        if nic is not None and nic.node is not None and nic.node != port.node:
            yield _port_finding(
                "nic.node",
                port,
                f"{port.nic} sits on node {nic.node}, planned was {port.node}",
                f"/sys/bus/pci/devices/{port.pci_address}/numa_node: {nic.node}",
            )
    planned = {port.pci_address: port.nic for port in plan.dpdk_ports}
    planned |= {function.pci_address: function.nic for function in plan.sriov}
    for address, name in planned.items():
        if address and address not in by_address:
            yield Finding(
                code="nic.missing",
                severity=Severity.BROKEN,
                subject=name,
                message=f"the port at {address} is gone",
                evidence=f"no /sys/bus/pci/devices/{address}",
                remedy="look at the card and its slot, or plan anew",
            )
    for function in plan.sriov:
        nic = by_address.get(function.pci_address)
        if nic is not None and nic.vfs != function.vfs:
            yield Finding(
                code="nic.vfs",
                severity=Severity.BROKEN,
                subject=function.nic,
                message=f"{function.nic} has {nic.vfs} virtual functions, planned are "
                f"{function.vfs}",
                evidence=f"/sys/bus/pci/devices/{function.pci_address}/sriov_numvfs: {nic.vfs}",
                remedy="systemctl restart isthmus-nfv-devices while no instance uses one",
            )


def check_nova(state: HostState, plan: HostPlan) -> Iterator[Finding]:
    """Nova's effective options are the planned ones."""
    for key, values in plan.nova.items():
        given = state.nova.get(key, ())
        if key not in MULTI_OPTIONS:
            given = given[-1:]
        if _same_option(key, values, given):
            continue
        section, _, option = key.partition("/")
        yield Finding(
            code=f"nova.{option}",
            severity=Severity.BROKEN,
            subject=f"[{section}] {option}",
            message=f"Nova's [{section}] {option} is {' and '.join(given) or 'not set'}, planned "
            f"is {' and '.join(values)}",
            evidence=f"/etc/nova: {option} = {' and '.join(given)}"
            if given
            else "not in /etc/nova",
            remedy=f"{APPLY}; it restarts nova-compute",
        )


def _same_option(key: str, planned: tuple[str, ...], given: tuple[str, ...]) -> bool:
    if key in CPU_OPTIONS and given:
        return cpuset.parse_list(planned[0]) == cpuset.parse_list(given[0])
    return sorted(planned) == sorted(given)


def check_tuned(state: HostState, plan: HostPlan) -> Iterator[Finding]:
    """The tuned profile is active, where tuned is there."""
    if not plan.tuned_variables or state.tuned_profile == plan.tuned_profile:
        return
    absent = "/etc/tuned/active_profile" not in state.files
    yield Finding(
        code="tuned.profile",
        severity=Severity.ADVICE if absent else Severity.DEGRADED,
        subject="tuned",
        message="tuned is not here; the kernel line isolates without it, power and timers stay as "
        "they are"
        if absent
        else f"tuned's profile is {state.tuned_profile or 'none'}, planned is {plan.tuned_profile}",
        evidence=f"/etc/tuned/active_profile: {state.tuned_profile or 'none'}",
        remedy=f"install tuned, then tuned-adm profile {plan.tuned_profile}",
    )
