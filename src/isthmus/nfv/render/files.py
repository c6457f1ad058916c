"""The files of a plan: each owns its whole path, so that it can be replaced and taken back whole.

Nothing of a person's is edited: every service here reads a folder of further files.
"""

import enum
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from isthmus.model.host_plan import HostPlan
from isthmus.nfv.plan.intent import SMALL_KIB
from isthmus.nfv.render import slices

HEAD = "# Written by Isthmus from the NFV plan of {host}; it will be replaced as a whole.\n"

GRUB = "/etc/default/grub.d/60-isthmus-nfv.cfg"
NOVA = "/etc/nova/nova.conf.d/60-isthmus-nfv.conf"
OVS_AGENT = "/etc/neutron/neutron-openvswitch-agent.conf.d/60-isthmus-nfv.conf"
SRIOV_AGENT = "/etc/neutron/neutron-sriov-nic-agent.conf.d/60-isthmus-nfv.conf"
TUNED = "/etc/tuned/cpu-partitioning-variables.conf"
MODULES = "/etc/modules-load.d/isthmus-nfv.conf"
DEVICES = "/usr/local/libexec/isthmus-nfv-devices"
DEVICES_UNIT = "/etc/systemd/system/isthmus-nfv-devices.service"
PAGES_UNIT = "/etc/systemd/system/isthmus-hugepages.service"
#: For the control plane, not for the host.
ML2 = "controller/ml2-nfv.ini"
FLAVORS = "controller/flavors.sh"


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
    """Give every file that the plan means for its host, by path."""
    files = [
        RenderedFile(GRUB, render_grub(plan), 0o644, Effect.GRUB),
        RenderedFile(NOVA, _with_head(plan, render_ini(plan.nova)), 0o644, Effect.NOVA),
        RenderedFile(PAGES_UNIT, render_pages_unit(plan), 0o644, Effect.UNITS),
    ]
    if plan.tuned_variables:
        files.append(RenderedFile(TUNED, render_tuned(plan), 0o644, Effect.TUNED))
    for path, sections in ((OVS_AGENT, {"ovs"}), (SRIOV_AGENT, {"sriov_nic"})):
        mine = {key: one for key, one in plan.neutron.items() if key.split("/")[0] in sections}
        if mine:
            files.append(
                RenderedFile(path, _with_head(plan, render_ini(mine)), 0o644, Effect.NEUTRON)
            )
    if _bound(plan) or plan.sriov:
        files += [
            RenderedFile(DEVICES, render_devices(plan), 0o755, Effect.BOOT),
            RenderedFile(DEVICES_UNIT, render_devices_unit(plan), 0o644, Effect.UNITS),
        ]
    if _bound(plan):
        files.append(RenderedFile(MODULES, _with_head(plan, "vfio-pci\n"), 0o644, Effect.BOOT))
    files += [
        RenderedFile(path, _with_head(plan, text), 0o644, Effect.BOOT)
        for path, text in slices.render_slices(plan).items()
    ]
    return tuple(sorted(files, key=lambda file: file.path))


def _with_head(plan: HostPlan, text: str) -> str:
    return HEAD.format(host=plan.host) + text


def _bound(plan: HostPlan) -> list[str]:
    return [port.pci_address for port in plan.dpdk_ports if port.driver]


def render_grub(plan: HostPlan) -> str:
    """Write the drop-in that adds the plan's arguments to every kernel line."""
    args = " ".join(plan.kernel_args)
    return _with_head(plan, f'GRUB_CMDLINE_LINUX="$GRUB_CMDLINE_LINUX {args}"\n')


def render_ini(options: Mapping[str, Sequence[str]]) -> str:
    """Write `section/option` -> values as an oslo.config file; several values repeat the option."""
    sections: dict[str, list[str]] = {}
    for key, values in options.items():
        section, _, option = key.partition("/")
        sections.setdefault(section, []).extend(f"{option} = {value}" for value in values)
    return "".join(f"\n[{name}]\n" + "\n".join(lines) + "\n" for name, lines in sections.items())


def render_tuned(plan: HostPlan) -> str:
    """Write the variables of the cpu-partitioning profile."""
    lines = [f"{key}={value}" for key, value in plan.tuned_variables.items()]
    return _with_head(plan, "\n".join(lines) + "\n")


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
    return _with_head(
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


def render_devices(plan: HostPlan) -> str:
    """Write the script that binds DPDK's ports and makes virtual functions."""
    lines = [
        "#!/bin/sh",
        HEAD.format(host=plan.host).rstrip("\n"),
        "# Binds the ports of DPDK to vfio-pci and makes virtual functions; safe to run again.",
        "set -u",
        "failed=0",
        "bind() {",
        "  d=/sys/bus/pci/devices/$1",
        '  [ -d "$d" ] || { echo "$1 is not there" >&2; failed=1; return; }',
        '  [ "$(basename "$(readlink "$d/driver" 2>/dev/null)")" = "$2" ] && return',
        '  echo "$2" >"$d/driver_override"',
        '  [ -e "$d/driver" ] && echo "$1" >"$d/driver/unbind"',
        '  echo "$1" >/sys/bus/pci/drivers_probe || failed=1',
        "}",
        "functions() {",
        "  d=/sys/bus/pci/devices/$1",
        '  [ "$(cat "$d/sriov_numvfs" 2>/dev/null)" = "$2" ] && return',
        '  echo 0 >"$d/sriov_numvfs" && echo "$2" >"$d/sriov_numvfs" || failed=1',
        "}",
    ]
    if _bound(plan):
        lines.append("modprobe vfio-pci || failed=1")
    lines += [f"bind {port.pci_address} {port.driver}" for port in plan.dpdk_ports if port.driver]
    for one in plan.sriov:
        lines.append(f"functions {one.pci_address} {one.vfs}")
        lines.append(f"ip link set dev {one.nic} up mtu {one.mtu}")
        if one.trusted:
            lines.append(
                f"i=0; while [ $i -lt {one.vfs} ]; do ip link set dev {one.nic} vf $i trust on; "
                "i=$((i + 1)); done"
            )
    return "\n".join([*lines, "exit $failed"]) + "\n"


def render_devices_unit(plan: HostPlan) -> str:
    """Write the unit that runs the device script before the switch starts."""
    return _with_head(
        plan,
        "[Unit]\n"
        "Description=Ports and virtual functions of the NFV plan\n"
        "After=systemd-modules-load.service\n"
        "Before=network-pre.target openvswitch-switch.service ovs-vswitchd.service\n"
        "Wants=network-pre.target\n"
        f"\n[Service]\nType=oneshot\nRemainAfterExit=yes\nExecStart={DEVICES}\n"
        "\n[Install]\nWantedBy=multi-user.target\n",
    )


def mount_unit(size_kib: int) -> str:
    """Name the unit that mounts pages of a size beside the default one."""
    size = f"{size_kib // 1048576}G" if size_kib >= 1048576 else f"{size_kib // 1024}M"
    return f"dev-hugepages{size}.mount"


def render_controller(plan: HostPlan) -> dict[str, str]:
    """Give what the control plane needs: flavors, and Neutron's side of OVN."""
    found = {FLAVORS: render_flavors(plan)} if plan.flavors else {}
    mine = {key: one for key, one in plan.neutron.items() if key.startswith("ovn/")}
    return found | ({ML2: _with_head(plan, render_ini(mine))} if mine else {})


def render_flavors(plan: HostPlan) -> str:
    """Write the client's commands that make the flavors; safe to run again."""
    lines = ["#!/bin/sh", HEAD.format(host=plan.host).rstrip("\n"), "set -e"]
    for flavor in plan.flavors:
        size = f"--vcpus {flavor.vcpus} --ram {flavor.ram_mib} --disk {flavor.disk_gib}"
        lines.append(
            f"openstack flavor show {flavor.name} >/dev/null 2>&1 || "
            f"openstack flavor create {size} {flavor.name}"
        )
        specs = " ".join(f"--property {key}={value}" for key, value in flavor.extra_specs.items())
        lines.append(f"openstack flavor set {specs} {flavor.name}")
    return "\n".join(lines) + "\n"
