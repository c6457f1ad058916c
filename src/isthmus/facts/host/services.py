"""Facts of services: units of systemd and containers of podman or docker.

Source: systemctl(1), podman-ps(1), docker ps.
"""

from dataclasses import dataclass

from isthmus.facts.dump import HostFacts
from isthmus.facts.fact import Fact, Requires, command

UNITS = (
    *("nova-compute", "openstack-nova-compute", "tripleo_nova_compute", "edpm_nova_compute"),
    *("kolla-nova_compute-container", "libvirtd", "virtqemud", "ovs-vswitchd"),
    *("openvswitch-switch", "openvswitch"),
    *("neutron-openvswitch-agent", "neutron-sriov-agent", "neutron-sriov-nic-agent"),
    *("tripleo_neutron_ovs_agent", "tripleo_neutron_sriov_agent", "tripleo_ovn_controller"),
    *("edpm_neutron_ovs_agent", "edpm_neutron_sriov_agent", "edpm_ovn_controller"),
    *("tripleo_nova_libvirt", "tripleo_nova_virtqemud"),
    *("ovn-controller", "isthmus-hugepages", "isthmus-nfv-devices", "tuned", "irqbalance"),
)
PROPERTIES = "Id,LoadState,ActiveState,UnitFileState"


@dataclass(frozen=True, slots=True)
class Service:
    """One unit of systemd's, or one container."""

    name: str
    is_there: bool
    runs: bool
    says: str = ""
    has_failed: bool = False  #: systemd gave it up
    is_off: bool = False  #: somebody has disabled or masked it


def parse_units(text: str) -> tuple[Service, ...]:
    """Read `systemctl show`: blocks of PROPERTIES, one for each unit."""
    found: list[Service] = []
    for block in text.split("\n\n"):
        values = dict(line.partition("=")[::2] for line in block.strip().splitlines())
        if values.get("Id"):
            state = values.get("ActiveState", "")
            found.append(
                Service(
                    name=values["Id"].removesuffix(".service"),
                    is_there=values.get("LoadState") == "loaded"
                    and values.get("UnitFileState") not in {"disabled", "masked"},
                    runs=state in {"active", "reloading"},
                    says=f"systemctl show {values['Id']}: ActiveState={state}",
                    has_failed=state == "failed",
                    is_off=values.get("UnitFileState") in {"disabled", "masked"},
                )
            )
    return tuple(found)


def parse_containers(text: str) -> tuple[Service, ...]:
    """Read the names and states that podman or docker lists."""
    found: list[Service] = []
    for line in text.splitlines():
        name, _, state = line.strip().partition(" ")
        if name:
            runs = state.lower().startswith(("running", "up"))
            said = f"container {name}: {state or 'no state'}"
            found.append(Service(name=name, is_there=True, runs=runs, says=said))
    return tuple(found)


def parse_services(seen: HostFacts) -> tuple[Service, ...]:
    """Read the units of Nova, Neutron, OVN, Open vSwitch and our own."""
    return parse_units(seen.commands["services"])


UNITS_SHOWN = Fact(
    "services",
    parse_services,
    (
        command(
            "services",
            f"systemctl show -p Id,LoadState,ActiveState,UnitFileState {' '.join(UNITS)}",
        ),
    ),
    Requires(package="systemd", daemon="systemd"),
    sample="Id=tuned.service\nLoadState=loaded\nActiveState=active\nUnitFileState=enabled\n",
)
#: find_layout of gather.sh has asked podman or docker before, and keeps what it said in $N.
CONTAINERS = Fact(
    "containers",
    lambda seen: parse_containers(seen.commands["containers"]),
    (command("containers", 'echo "$N"'),),
    Requires(privilege="root"),
    sample="nova_compute running\n",
)
FACTS = (UNITS_SHOWN, CONTAINERS)
