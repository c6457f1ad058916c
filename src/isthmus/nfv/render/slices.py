"""systemd's part of isolation: who may run where, held by control groups.

`isolcpus` only decides where a process starts. As soon as libvirt starts the first instance the
kernel's cpuset controller comes into use, and each process of the host is then given all CPUs of
its group (seen on Linux 6.1): everything may run on isolated CPUs again. So the groups themselves
are narrowed: services, users and systemd to the host's CPUs; the switch, which polls, to those and
its PMDs'. Instances have libvirt's own group, which is left alone.

A switch in a container is in a group of its engine's. Podman's are beside those of instances, below
`machine.slice`: they cannot be narrowed there, but the controller can be in use there from boot on,
by a group with nobody in it, so that the first instance does not have the kernel give every thread
in a container all CPUs again, the PMDs' own included (Linux before 6.2, kernel/cgroup/cpuset.c,
`update_tasks_cpumask`). Docker's are below `system.slice`, which then may not be narrowed.
"""

from collections.abc import Mapping

from isthmus.facts.cpuset import render_list
from isthmus.model.host.host_plan import HostPlan

_UNITS = "/etc/systemd/system"
_DROP_IN = "60-isthmus-nfv.conf"
SWITCH_SLICE = "isthmus.slice"
SWITCH_UNIT = "ovs-vswitchd.service"
#: Below machine.slice by its name; nobody is in it.
CONTAINERS_SLICE = "machine-isthmus.slice"
_DOCKER_DROP_IN = "61-isthmus-nfv-docker.conf"


def list_begin(plan: HostPlan) -> str:
    """Return the CPUs on which a switch begins: what DPDK starts beside its PMDs stays on them."""
    return render_list({*plan.host_cpus, *plan.shared_cpus})


def render_slices(plan: HostPlan) -> Mapping[str, str]:
    """Return path -> content of what narrows the groups; empty where nothing is isolated."""
    if not plan.isolated_cpus:
        return {}
    host = list_begin(plan)
    found = {
        f"{_UNITS}/{unit}.d/{_DROP_IN}": f"[{section}]\nAllowedCPUs={host}\n"
        for unit, section in (
            ("system.slice", "Slice"),
            ("user.slice", "Slice"),
            ("init.scope", "Scope"),
        )
    }
    if plan.pmd_cpus:
        polled = render_list({*plan.host_cpus, *plan.shared_cpus, *plan.pmd_cpus})
        found[f"{_UNITS}/{SWITCH_SLICE}"] = (
            f"[Unit]\nDescription=Open vSwitch and its PMDs\n\n[Slice]\nAllowedCPUs={polled}\n"
        )
        found[f"{_UNITS}/{SWITCH_UNIT}.d/{_DROP_IN}"] = (
            f"[Service]\nSlice={SWITCH_SLICE}\nCPUAffinity={host}\n"
        )
    return found


def render_containers(plan: HostPlan) -> Mapping[str, str]:
    """Return path -> content of what a host needs whose switch is in a container.

    Empty where no CPU polls.
    """
    if not plan.pmd_cpus:
        return {}
    text = (
        "[Unit]\nDescription=Keeps the cpuset controller in use beside instances\n\n"
        f"[Slice]\nAllowedCPUs={list_begin(plan)}\n\n[Install]\nWantedBy=slices.target\n"
    )
    return {f"{_UNITS}/{CONTAINERS_SLICE}": text}


def render_docker(plan: HostPlan) -> Mapping[str, str]:
    """Return path -> content of what a host needs whose containers are Docker's."""
    if not plan.isolated_cpus:
        return {}
    text = f"[Slice]\nAllowedCPUs={render_list(plan.isolated_cpus)}\n"
    return {f"{_UNITS}/system.slice.d/{_DOCKER_DROP_IN}": text}
