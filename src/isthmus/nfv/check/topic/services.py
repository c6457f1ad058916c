"""Checks of services: what is set up on a host also runs."""

from collections.abc import Iterator

from isthmus.facts.host import services
from isthmus.model.host.host_plan import HostPlan
from isthmus.model.verdict import Severity, Subject, Verdict
from isthmus.nfv.check.rule import Rule
from isthmus.nfv.check.state import HostState

#: What people call a service -> its units and containers in every layout. One that runs is enough:
#: a container's unit of systemd's may be there or not.
SERVICES: dict[str, tuple[str, ...]] = {
    "nova-compute": (
        *("nova-compute", "openstack-nova-compute", "tripleo_nova_compute", "edpm_nova_compute"),
        *("kolla-nova_compute-container", "nova_compute"),
    ),
    "Neutron's Open vSwitch agent": ("neutron-openvswitch-agent", "neutron_openvswitch_agent"),
    "Neutron's SR-IOV agent": (
        *("neutron-sriov-agent", "neutron-sriov-nic-agent", "neutron_sriov_agent"),
        "neutron_sriov_nic_agent",
    ),
    "ovn-controller": ("ovn-controller", "ovn_controller"),
}
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
    there = {one.name: one for one in state.services}
    for name, what in OWN.items():
        one = there.get(name)
        if plan is not None and one is not None and one.is_there and not one.runs:
            yield Verdict(
                code="service.down",
                severity=Severity.DEGRADED,
                subject=Subject(name),
                message=f"{name} did not run to its end: {what} may not be as planned",
                evidence=one.says,
                remedy=f"systemctl status {name} says why; then systemctl restart {name}",
            )


def sets_up_services(state: HostState, plan: HostPlan | None) -> str:
    """Apply a rule where services of a compute host are set up."""
    del plan
    known = {*OWN, *(name for names in SERVICES.values() for name in names)}
    there = any(one.is_there and one.name in known for one in state.services)
    return "" if there else "no service of Nova's, Neutron's, OVN's or ours is set up here"


PRACTICE = (Rule(check_services, (services.UNITS_SHOWN,), given=sets_up_services),)
