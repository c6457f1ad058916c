"""What a host does at boot, before its switch starts: drivers, functions, folders, mounts."""

import shlex
from collections.abc import Mapping

from isthmus.model.host.host_plan import HostPlan, SriovPlan
from isthmus.nfv.plan.settings import VHOST_SOCKETS
from isthmus.nfv.render import texts

DEVICES = "/usr/local/libexec/isthmus-nfv-devices"
DEVICES_UNIT = "/etc/systemd/system/isthmus-nfv-devices.service"
MODULES = "/etc/modules-load.d/isthmus-nfv.conf"
UNITS = "/etc/systemd/system"
#: A card's driver may come later than the unit that waits for it.
APPEAR_S = 60

#: Every step says what failed, and the script's exit code that something did; it goes on, so that
#: one dead card does not keep the others down.
FUNCTIONS = r"""
failed=0
wrong() { echo "isthmus-nfv-devices: $*" >&2; failed=1; }
# appear NIC: wait until its driver has made the interface.
appear() {
  i=0
  while [ ! -e "/sys/class/net/$1" ]; do
    i=$((i + 1)); [ $i -le @APPEAR@ ] || { wrong "$1 did not appear within @APPEAR@ s"; return 1; }
    sleep 1
  done
}
bind() {
  d=/sys/bus/pci/devices/$1
  [ -d "$d" ] || { wrong "$1 is not there"; return; }
  [ "$(basename "$(readlink "$d/driver" 2>/dev/null)")" = "$2" ] && return
  echo "$2" >"$d/driver_override" || wrong "$1 takes no driver_override"
  [ -e "$d/driver" ] && echo "$1" >"$d/driver/unbind"
  echo "$1" >/sys/bus/pci/drivers_probe || wrong "$1 was not probed"
  [ "$(basename "$(readlink "$d/driver" 2>/dev/null)")" = "$2" ] ||
    wrong "$1 is not bound to $2: dmesg says why"
}
# functions ADDRESS COUNT NIC MTU: some drivers give none while the port is down, and say nothing.
functions() {
  d=/sys/bus/pci/devices/$1
  appear "$3" || return
  ip link set dev "$3" up || wrong "$3 cannot be set up"
  ip link set dev "$3" mtu "$4" || wrong "$3 does not take MTU $4"
  [ "$(cat "$d/sriov_numvfs" 2>/dev/null)" = "$2" ] && return
  echo 0 >"$d/sriov_numvfs" || { wrong "$3 has functions in use"; return; }
  echo "$2" >"$d/sriov_numvfs"
  [ "$(cat "$d/sriov_numvfs" 2>/dev/null)" = "$2" ] || wrong "$3 did not make $2 functions"
}
# uplink NIC: no bridge sets its ports up, and an interface that nobody configures stays down.
uplink() { appear "$1" && { ip link set dev "$1" up || wrong "$1 cannot be set up"; }; }
# guard NIC COUNT WORD...: what each virtual function is told.
guard() {
  n=$1 c=$2; shift 2; i=0
  while [ $i -lt "$c" ]; do
    ip link set dev "$n" vf $i "$@" || { wrong "vf $i of $n does not take $*"; return; }
    i=$((i + 1))
  done
}
# offload ADDRESS NIC: hand flows to the switch in the card. Its driver wants no function bound to
# one while the mode changes, and leaves the port up or down as it was.
offload() {
  [ "$(devlink dev eswitch show "pci/$1" | sed -n 's/.*mode \([a-z]*\).*/\1/p')" = switchdev ] || {
    for v in /sys/bus/pci/devices/"$1"/virtfn*; do
      [ -e "$v/driver" ] && basename "$(readlink -f "$v")" >"$v/driver/unbind"
    done
    devlink dev eswitch set "pci/$1" mode switchdev || { wrong "$2 has no mode switchdev"; return; }
  }
  appear "$2" || return
  ethtool -K "$2" hw-tc-offload on || wrong "$2 takes no flows"
  ip link set dev "$2" up || wrong "$2 cannot be set up"
}
# sockets: the folder of vhost-user sockets, which QEMU makes and Open vSwitch connects to.
sockets() {
  u=root g=root
  for w in libvirt-qemu qemu 42427; do
    if [ "$w" = 42427 ]; then [ -d /etc/kolla/nova-libvirt ] || continue; u=$w g=$w; break; fi
    id -u "$w" >/dev/null 2>&1 && u=$w g=$(id -gn "$w") && break
  done
  # Where Open vSwitch runs as a user of its own (Red Hat), this group is both its and QEMU's.
  getent group hugetlbfs >/dev/null && id -u openvswitch >/dev/null 2>&1 && g=hugetlbfs
  mkdir -p "$1" && chown "$u:$g" "$1" && chmod 2775 "$1" || wrong "$1 cannot be made"
  command -v chcon >/dev/null && [ -e /sys/fs/selinux/enforce ] &&
    { chcon -t virt_cache_t "$1" 2>/dev/null || wrong "$1 has no label for QEMU"; }
  return 0
}
""".replace("@APPEAR@", str(APPEAR_S))


def has_devices(plan: HostPlan) -> bool:
    """Tell whether a plan has anything for the device script."""
    return bool(plan.dpdk_ports or plan.sriov or uplinks(plan))


def uplinks(plan: HostPlan) -> list[str]:
    """List the interfaces of bridges that nobody but the plan sets up, each once."""
    functions = {one.nic for one in plan.sriov}
    ours = (one.nic for one in plan.kernel_ports if not one.carries_management)
    return list(dict.fromkeys(nic for nic in ours if nic not in functions))


def bound(plan: HostPlan) -> list[str]:
    """List the PCI addresses that a plan binds to another driver, each once."""
    return list(dict.fromkeys(port.pci_address for port in plan.dpdk_ports if port.driver))


def render_devices(plan: HostPlan) -> str:
    """Write the script that binds and sets up ports, makes virtual functions and QEMU's folder."""
    lines = [
        "#!/bin/sh",
        texts.head(plan).rstrip("\n"),
        "# Drivers, virtual functions and folders of the plan; safe to run again.",
        "set -u",
        FUNCTIONS.strip("\n"),
    ]
    drivers = {port.pci_address: port.driver for port in plan.dpdk_ports if port.driver}
    if drivers:
        lines.append('modprobe vfio-pci || wrong "there is no vfio-pci"')
    lines += [f"bind {shlex.join(pair)}" for pair in drivers.items()]
    for one in plan.sriov:
        lines += _functions(one)
    lines += [f"uplink {shlex.quote(nic)}" for nic in uplinks(plan)]
    if plan.dpdk_ports:
        lines.append(f"sockets {VHOST_SOCKETS}")
    return "\n".join([*lines, "exit $failed"]) + "\n"


def _functions(one: SriovPlan) -> list[str]:
    address, nic = shlex.quote(one.pci_address), shlex.quote(one.nic)
    lines = [f"functions {address} {one.vfs} {nic} {one.mtu}"]
    if one.switchdev:
        lines.append(f"offload {address} {nic}")
    if one.trusted:
        lines.append(f"guard {nic} {one.vfs} trust on")
    if not one.spoof_check:
        lines.append(f"guard {nic} {one.vfs} spoofchk off")
    return lines


def render_devices_unit(plan: HostPlan) -> str:
    """Write the unit that runs the device script before the switch starts."""
    return texts.with_head(
        plan,
        "[Unit]\n"
        "Description=Ports, virtual functions and folders of the NFV plan\n"
        "After=systemd-modules-load.service systemd-udev-settle.service\n"
        "Before=network-pre.target openvswitch-switch.service ovs-vswitchd.service "
        "libvirtd.service\n"
        "Wants=network-pre.target\n"
        f"\n[Service]\nType=oneshot\nRemainAfterExit=yes\nExecStart={DEVICES}\n"
        "\n[Install]\nWantedBy=multi-user.target\n",
    )


def mount_unit(size_kib: int) -> str:
    """Return the name of the unit that mounts pages of a size beside the default one."""
    return f"dev-hugepages{texts.page_size(size_kib)}.mount"


def render_mounts(plan: HostPlan) -> Mapping[str, str]:
    """Return path -> content of the mounts for pages beside the default size.

    systemd mounts the default one (dev-hugepages.mount); libvirt finds the others by their mounts
    only, and gives an instance no page of a size that has none.
    """
    sizes = {page.size_kib for node in plan.nodes for page in node.pages if page.total}
    return {
        f"{UNITS}/{mount_unit(size)}": texts.with_head(
            plan,
            "[Unit]\n"
            f"Description=Huge pages of {texts.page_size(size)}\n"
            "DefaultDependencies=no\n"
            "Before=sysinit.target libvirtd.service virtqemud.service\n"
            "ConditionPathExists=/sys/kernel/mm/hugepages\n"
            f"\n[Mount]\nWhat=hugetlbfs\nWhere=/dev/hugepages{texts.page_size(size)}\n"
            f"Type=hugetlbfs\nOptions=pagesize={texts.page_size(size)}\n"
            "\n[Install]\nWantedBy=sysinit.target\n",
        )
        for size in sorted(sizes - {plan.default_page_kib})
    }
