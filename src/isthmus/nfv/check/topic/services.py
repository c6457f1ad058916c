"""Checks of services: what is set up on a host also runs."""

from collections.abc import Iterator

from isthmus.facts.host import procfs, services
from isthmus.model.host.host_plan import HostPlan
from isthmus.model.verdict import Severity, Subject, Verdict
from isthmus.nfv.check.rule import Rule
from isthmus.nfv.check.state import HostState
from isthmus.nfv.render import files

#: What people call a service -> its units and containers in every layout. One that runs is enough:
#: a container's unit of systemd's may be there or not.
SERVICES: dict[str, tuple[str, ...]] = {
    "nova-compute": (
        *("nova-compute", "openstack-nova-compute", "tripleo_nova_compute", "edpm_nova_compute"),
        *("kolla-nova_compute-container", "nova_compute"),
    ),
    "Neutron's Open vSwitch agent": (
        *("neutron-openvswitch-agent", "tripleo_neutron_ovs_agent", "edpm_neutron_ovs_agent"),
        *("kolla-neutron_openvswitch_agent-container", "neutron_openvswitch_agent"),
        "neutron_ovs_agent",
    ),
    "Neutron's SR-IOV agent": (
        *("neutron-sriov-agent", "neutron-sriov-nic-agent", "tripleo_neutron_sriov_agent"),
        *("edpm_neutron_sriov_agent", "kolla-neutron_sriov_agent-container"),
        *("neutron_sriov_agent", "neutron_sriov_nic_agent"),
    ),
    "ovn-controller": (
        *("ovn-controller", "tripleo_ovn_controller", "edpm_ovn_controller"),
        *("kolla-ovn_controller-container", "ovn_controller"),
    ),
    # Of packages libvirt is started when somebody asks; in a container it has to run.
    "libvirt": (
        *("tripleo_nova_libvirt", "tripleo_nova_virtqemud", "kolla-nova_libvirt-container"),
        *("nova_libvirt", "nova_virtqemud"),
    ),
    "Open vSwitch": (
        *("kolla-openvswitch_vswitchd-container", "kolla-ovsdpdk_vswitchd-container"),
        *("openvswitch_vswitchd", "ovsdpdk_vswitchd"),
    ),
}
#: Units of packages that may rest, and are only wrong where they have failed.
RESTING = {
    "libvirt": ("libvirtd", "virtqemud"),
    "Open vSwitch": ("ovs-vswitchd", "openvswitch-switch", "openvswitch"),
}
#: Units of packages that start Open vSwitch at boot; they run whether its daemons do or not.
STARTERS = frozenset({"openvswitch-switch", "openvswitch"})
#: What works on Open vSwitch, and so tells that it is wanted.
ON_SWITCH = frozenset({*SERVICES["ovn-controller"], *SERVICES["Neutron's Open vSwitch agent"]})
#: Containers, which have been named by then.
_NAMED = frozenset({*SERVICES["libvirt"], *SERVICES["Open vSwitch"]})
#: Units of our own, and when a plan has them.
OWN = {"isthmus-hugepages": "huge pages", "isthmus-nfv-devices": "drivers and virtual functions"}


def check_services(state: HostState, plan: HostPlan | None) -> Iterator[Verdict]:
    """Every service that is set up here runs; without nova-compute no instance starts."""
    processes = {thread.process for thread in state.threads}
    for name, names in SERVICES.items():
        mine = [one for one in state.services if one.name in names and one.is_there]
        if not mine or any(one.runs for one in mine) or processes & set(names):
            continue
        yield Verdict(
            code="service.down",
            severity=Severity.BROKEN,
            subject=Subject(name),
            message=f"{name} is set up here but does not run",
            evidence="; ".join(one.says for one in mine),
            remedy="its own log says why it went; isthmus nfv check names options that keep it "
            "from starting",
        )
    yield from _check_failed(state)
    if plan is not None:
        yield from _check_off(state, plan, processes)
        yield from _check_own(state, plan)


def _check_off(state: HostState, plan: HostPlan, processes: set[str]) -> Iterator[Verdict]:
    """Check that what a plan is for has not been switched off by somebody."""
    wanted = {"nova-compute": plan.nova}
    wanted["Neutron's Open vSwitch agent"] = {
        k: v for k, v in plan.neutron.items() if k[:4] == "ovs/"
    }
    wanted["Neutron's SR-IOV agent"] = {k: v for k, v in plan.neutron.items() if k[:6] == "sriov_"}
    for name, options in wanted.items():
        mine = [one for one in state.services if one.name in SERVICES[name]]
        off = [one for one in mine if one.is_off and not one.runs]
        others = any(one.runs or one.is_there for one in mine)
        if options and off and not others and not processes & set(SERVICES[name]):
            yield Verdict(
                code="service.down",
                severity=Severity.BROKEN,
                subject=Subject(name),
                message=f"{name} is switched off here, and the plan is for it",
                evidence=f"{off[0].says}, disabled or masked",
                remedy=f"systemctl enable --now {off[0].name} (unmask it first where it is masked)",
            )


def _check_own(state: HostState, plan: HostPlan) -> Iterator[Verdict]:
    """Check our own units: they ran to their end, and will do so at the next boot."""
    there = {one.name: one for one in state.services}
    mine = {
        file.path.rpartition("/")[2].removesuffix(".service")
        for file in files.render_files(plan)
        if file.effect is files.Effect.UNITS
    }
    for name, what in OWN.items():
        one = there.get(name)
        if one is None or not (one.is_there or (one.is_off and name in mine)):
            continue
        if not one.runs or one.is_off:
            yield Verdict(
                code="service.down",
                severity=Severity.DEGRADED,
                subject=Subject(name),
                message=f"{name} did not run to its end: {what} may not be as planned"
                if not one.runs
                else f"{name} is switched off: after the next boot {what} will not be as planned",
                evidence=one.says + (", disabled or masked" if one.is_off else ""),
                remedy=f"systemctl enable {name}; systemctl restart {name}"
                if one.is_off
                else f"systemctl status {name} says why; then systemctl restart {name}",
            )


def _check_failed(state: HostState) -> Iterator[Verdict]:
    processes = {thread.process for thread in state.threads}
    for name, names in RESTING.items():
        mine = [one for one in state.services if one.name in (*names, *SERVICES[name])]
        if any(one.runs and one.name not in STARTERS for one in mine):
            continue
        users = {one.name for one in state.services if one.is_there and one.name in ON_SWITCH}
        # Who starts it at each boot wants it to run, also where nothing tells what for: its
        # database, which would tell of DPDK, is down with it.
        stopped = any(one.name in STARTERS and one.is_there and not one.runs for one in mine)
        wanted = name == "Open vSwitch" and (users or stopped)
        down = [one for one in mine if not one.runs and one.is_there and (wanted or one.has_failed)]
        if down and not processes & set(names) and not {one.name for one in down} & _NAMED:
            yield Verdict(
                code="service.down",
                severity=Severity.BROKEN,
                subject=Subject(name),
                message=_say_down(name, users, wanted=bool(wanted)),
                evidence="; ".join(one.says for one in down),
                remedy=f"journalctl -u {down[0].name} says why",
            )


def _say_down(name: str, users: set[str], *, wanted: bool) -> str:
    if users and wanted:
        return f"{name} does not run, and {', '.join(sorted(users))} cannot do without"
    return f"{name} does not run, and each boot starts it" if wanted else f"{name} has failed"


def sets_up_services(state: HostState, plan: HostPlan | None) -> str:
    """Apply a rule where services of a compute host are set up."""
    del plan
    known = {*OWN, *(name for names in (*SERVICES.values(), *RESTING.values()) for name in names)}
    there = any((one.is_there or one.is_off) and one.name in known for one in state.services)
    return "" if there else "no service of Nova's, Neutron's, OVN's or ours is set up here"


PRACTICE = (
    Rule(
        check_services,
        (services.UNITS_SHOWN,),
        given=sets_up_services,
        beside=(procfs.THREADS,),
        helped_by=(services.CONTAINERS,),
    ),
)
