"""The files of a plan: each owns its whole path, so that it can be replaced and taken back whole.

Nothing of a person's is edited: every service here reads a folder of further files.
"""

import enum
import shlex
from dataclasses import dataclass

from isthmus.model.host.host_plan import HostPlan
from isthmus.nfv.plan.demand import SMALL_KIB
from isthmus.nfv.render import slices, texts
from isthmus.nfv.render.devices import (
    DEVICES,
    DEVICES_UNIT,
    MODULES,
    bound,
    has_devices,
    mount_unit,
    render_devices,
    render_devices_unit,
    render_mounts,
)
from isthmus.nfv.render.texts import render_ini

GRUB = "/etc/default/grub.d/60-isthmus-nfv.cfg"
NOVA = "/etc/nova/nova.conf.d/60-isthmus-nfv.conf"
OVS_AGENT = "/etc/neutron/neutron-openvswitch-agent.conf.d/60-isthmus-nfv.conf"
SRIOV_AGENT = "/etc/neutron/neutron-sriov-nic-agent.conf.d/60-isthmus-nfv.conf"
TUNED = "/etc/tuned/cpu-partitioning-variables.conf"
PAGES_UNIT = "/etc/systemd/system/isthmus-hugepages.service"
#: For the control plane, not for the host.
ML2 = "controller/ml2-nfv.ini"
FLAVORS = "controller/flavors.sh"


__all__ = ["DEVICES", "DEVICES_UNIT", "MODULES", "mount_unit", "render_devices", "render_ini"]


class Effect(enum.StrEnum):
    """What has to happen before a changed file counts."""

    GRUB = "grub"  #: the boot loader's configuration is made anew, and the host reboots
    BOOT = "boot"  #: the host reboots
    NOVA = "nova"  #: nova-compute restarts
    NEUTRON = "neutron"  #: the agents restart
    TUNED = "tuned"  #: the profile is set again
    UNITS = "units"  #: systemd reads its units, which are enabled; the host reboots


@dataclass(frozen=True, slots=True)
class RenderedFile:
    """One file for the host."""

    path: str
    content: str
    mode: int
    effect: Effect


def render_files(plan: HostPlan) -> tuple[RenderedFile, ...]:
    """Return every file that the plan means for its host, by path."""
    files = [
        RenderedFile(GRUB, render_grub(plan), 0o644, Effect.GRUB),
        RenderedFile(NOVA, texts.with_head(plan, render_ini(plan.nova)), 0o644, Effect.NOVA),
        RenderedFile(PAGES_UNIT, render_pages_unit(plan), 0o644, Effect.UNITS),
    ]
    if plan.tuned_variables:
        files.append(RenderedFile(TUNED, render_tuned(plan), 0o644, Effect.TUNED))
    for path, sections in ((OVS_AGENT, {"ovs"}), (SRIOV_AGENT, {"sriov_nic"})):
        mine = {key: one for key, one in plan.neutron.items() if key.split("/")[0] in sections}
        if mine:
            files.append(
                RenderedFile(path, texts.with_head(plan, render_ini(mine)), 0o644, Effect.NEUTRON)
            )
    if has_devices(plan):
        files += [
            RenderedFile(DEVICES, render_devices(plan), 0o755, Effect.BOOT),
            RenderedFile(DEVICES_UNIT, render_devices_unit(plan), 0o644, Effect.UNITS),
        ]
    if bound(plan):
        files.append(RenderedFile(MODULES, texts.with_head(plan, "vfio-pci\n"), 0o644, Effect.BOOT))
    files += [
        RenderedFile(path, text, 0o644, Effect.UNITS) for path, text in render_mounts(plan).items()
    ]
    files += [
        RenderedFile(path, texts.with_head(plan, text), 0o644, Effect.BOOT)
        for path, text in slices.render_slices(plan).items()
    ]
    return tuple(sorted(files, key=lambda file: file.path))


def render_grub(plan: HostPlan) -> str:
    """Write the drop-in that adds the plan's arguments to every kernel line."""
    args = " ".join(plan.kernel_args)
    return texts.with_head(plan, f'GRUB_CMDLINE_LINUX="$GRUB_CMDLINE_LINUX {args}"\n')


def render_tuned(plan: HostPlan) -> str:
    """Write the variables of the cpu-partitioning profile."""
    lines = [f"{key}={value}" for key, value in plan.tuned_variables.items()]
    return texts.with_head(plan, "\n".join(lines) + "\n")


def render_pages_unit(plan: HostPlan) -> str:
    """Write the unit that sets each node's pools at boot.

    The kernel line alone is not enough: it fails silently, node by node, where memory is short at
    the moment it is read, and kernels before 5.16 know no nodes there.
    """
    lines = [
        f"ExecStart=-/bin/sh -c 'echo {page.total} >/sys/devices/system/node/node{node.id}"
        f"/hugepages/hugepages-{page.size_kib}kB/nr_hugepages'"
        for node in plan.nodes
        for page in node.pages
        if page.size_kib != SMALL_KIB
    ]
    return texts.with_head(
        plan,
        "[Unit]\n"
        "Description=Huge pages of the NFV plan, node by node\n"
        "DefaultDependencies=no\n"
        "After=local-fs.target\n"
        "Before=sysinit.target openvswitch-switch.service ovs-vswitchd.service libvirtd.service\n"
        "\n[Service]\nType=oneshot\nRemainAfterExit=yes\n"
        + "\n".join(lines)
        + "\n\n[Install]\nWantedBy=sysinit.target\n",
    )


def render_controller(plan: HostPlan) -> dict[str, str]:
    """Return what the control plane needs: flavors, and Neutron's side of OVN."""
    found = {FLAVORS: render_flavors(plan)} if plan.flavors else {}
    mine = {key: one for key, one in plan.neutron.items() if key.startswith("ovn/")}
    return found | ({ML2: texts.with_head(plan, render_ini(mine))} if mine else {})


def render_flavors(plan: HostPlan) -> str:
    """Write the client's commands that make the flavors; safe to run again."""
    lines = ["#!/bin/sh", texts.head(plan).rstrip("\n"), "set -e"]
    for flavor in plan.flavors:
        size = f"--vcpus {flavor.vcpus} --ram {flavor.ram_mib} --disk {flavor.disk_gib}"
        name = shlex.quote(flavor.name)
        lines.append(
            f"openstack flavor show {name} >/dev/null 2>&1 || openstack flavor create {size} {name}"
        )
        pairs = (shlex.quote(f"{key}={value}") for key, value in flavor.extra_specs.items())
        specs = " ".join(f"--property {pair}" for pair in pairs)
        lines.append(f"openstack flavor set {specs} {name}")
    return "\n".join(lines) + "\n"
