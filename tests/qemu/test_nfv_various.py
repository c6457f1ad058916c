"""Twenty plans that dice chose, each applied for real through a reboot: the host is clean by each.

After `test_nfv_undo`, since each plan wants the machine bare. What the dice choose and the machine
cannot have is refused and thrown again, so that twenty are applied whatever is refused.
"""

import random

import pytest
from tests.qemu.machine import Guest
from tests.qemu.tuned import Tuned

from isthmus import errors
from isthmus.facts.gather import inspect_host
from isthmus.model.host import host_demand as model
from isthmus.model.host.host_inventory import HostInventory
from isthmus.model.host.host_plan import HostPlan
from isthmus.nfv.apply import Applied, apply_plan, reboot, roll_back
from isthmus.nfv.plan.refusal import plan_or_refuse

pytestmark = [pytest.mark.qemu, pytest.mark.timeout(2400)]

COUNT = 20
PORTS = ("0000:41:00.0", "0000:81:00.0")
#: More throws than this for one plan, and what the dice choose fits the machine too badly.
_THROWS = 200
GIB_KIB = 1 << 20
_DPDK, _KERNEL = model.DataPath.OVS_DPDK, model.DataPath.KERNEL


def draw_demand(dice: random.Random) -> model.HostDemand:
    """Choose a demand that the emulated machine may have room for."""
    networks = _draw_networks(dice)
    names = [one.name for one in networks]
    return model.HostDemand(
        physical_networks=networks,
        tunnel_network=dice.choice(["", *names]),
        host=model.HostReserve(
            memory_mib=dice.choice([1536, 2048, 2560]),
            shared_cores_per_node=dice.choice([0, 0, 1]),
            memory_per_instance_mib=dice.choice([0, 64]),
        ),
        pmd=model.PmdDemand(
            cores=dice.choice([{}, {}, {0: 1}, {1: 1}]),
            on_every_node=dice.random() < 0.3,
            siblings=dice.choice(list(model.SiblingUse)),
            max_sleep_us=5000,  # the machine's twelve CPUs are two real ones
            per_port_memory=dice.random() < 0.3,
            memory_channels=dice.choice([None, None, 4]),
        ),
        page_size=dice.choice(["2MiB", "2MiB", "1GiB"]),
        vhost_queue_size=dice.choice([0, 512, 1024]),
        flavors=tuple(_draw_flavor(dice, number, names) for number in range(dice.randint(1, 3))),
        backend=dice.choice(list(model.Backend)),
        shared_ratio=dice.choice([1.0, 4.0, 8.0]),
    )


def _draw_networks(dice: random.Random) -> tuple[model.PhysicalNetwork, ...]:
    return tuple(
        model.PhysicalNetwork(
            name=name,
            by=dice.choice([_DPDK, _DPDK, _KERNEL]),
            nics=(port,),
            mtu=dice.choice([1500, 1500, 2000]),
            affinity=dice.choice(list(model.Affinity)),
            bridge=dice.choice(["", f"br-of-{name}"]),
            rx_descriptors=dice.choice([None, None, 512]),
        )
        for name, port in zip(("left", "right"), PORTS, strict=True)
        if dice.random() < 0.8
    )


def _draw_flavor(dice: random.Random, number: int, networks: list[str]) -> model.FlavorDemand:
    policy = dice.choice(list(model.CpuPolicy))
    vcpus = dice.randint(2, 3)
    return model.FlavorDemand(
        name=f"vnf{number}",
        vcpus=vcpus,
        ram_mib=dice.choice([128, 256, 512]),
        count=dice.randint(0, 1),
        cpu_policy=policy,
        thread_policy=dice.choice(list(model.ThreadPolicy)),
        emulator_threads=dice.choice(list(model.EmulatorThreads)),
        numa_nodes=dice.choice([1, 1, 2]),
        page_size=dice.choice(["large", "large", "small"]),
        networks=tuple(name for name in networks if dice.random() < 0.5),
        multiqueue=dice.random() < 0.3,
        dedicated_vcpus="1" if policy is model.CpuPolicy.MIXED else "",
    )


def draw_plan(inventory: HostInventory, dice: random.Random) -> HostPlan:
    """Throw until the planner does not refuse what was chosen."""
    refused: list[str] = []
    while len(refused) < _THROWS:
        try:
            return plan_or_refuse(inventory, draw_demand(dice))
        except errors.IsthmusError as error:
            refused.append(str(error))
    pytest.fail(f"nothing fits: {refused[-3:]}")


def _clear(guest: Guest) -> None:
    while True:
        try:
            roll_back(guest.client)
        except errors.NotFound:
            return


def _apply_one(guest: Guest, dice: random.Random) -> tuple[HostPlan, Applied]:
    """Apply what the dice choose; the same dice give the same plan.

    Whether the kernel finds room for pages of 1 GiB is known only once it has booted: where it
    finds none, apply says so before it touches the switch, and is taken back.
    """
    while True:
        plan = draw_plan(inspect_host(guest.client), dice)
        try:
            return plan, apply_plan(guest.client, plan, may_reboot=True)
        except errors.StepFailed as error:
            if "the kernel found no room" not in error.message:
                raise
            assert any(page.size_kib == GIB_KIB for node in plan.nodes for page in node.pages)
            asked = guest.client.run_script("ovs-vsctl get Open_vSwitch . other_config")
            assert asked.stdout == "{}\n"
        _clear(guest)
        reboot(guest.client, lambda _: None)


@pytest.mark.parametrize("seed", range(COUNT))
def test_the_machine_is_clean_by_a_plan_of_the_dice(guest: Guest, seed: int) -> None:
    _clear(guest)
    plan, applied = _apply_one(guest, random.Random(seed))
    assert applied.changes
    tuned = Tuned(guest, plan, (), applied)
    assert tuned.until_clean() == {}
    again = apply_plan(guest.client, plan)
    assert again.changes == ()
    assert not again.needs_reboot
