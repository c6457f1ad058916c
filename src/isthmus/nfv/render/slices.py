"""systemd's part of isolation: who may run where, held by control groups.

`isolcpus` only decides where a process starts. As soon as libvirt starts the first instance the
kernel's cpuset controller comes into use, and each process of the host is then given all CPUs of
its group (seen on Linux 6.1): everything may run on isolated CPUs again. So the groups themselves
are narrowed: services, users and systemd to the host's CPUs; the switch, which polls, to those and
its PMDs'. Instances have libvirt's own group, which is left alone.
"""

from collections.abc import Mapping

from isthmus.facts.cpuset import render_list
from isthmus.model.host.host_plan import HostPlan

_UNITS = "/etc/systemd/system"
_DROP_IN = "60-isthmus-nfv.conf"
SWITCH_SLICE = "isthmus.slice"
SWITCH_UNIT = "ovs-vswitchd.service"


def render_slices(plan: HostPlan) -> Mapping[str, str]:
    """Return path -> content of what narrows the groups; empty where nothing is isolated."""
    if not plan.isolated_cpus:
        return {}
    host = render_list({*plan.host_cpus, *plan.shared_cpus})
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
