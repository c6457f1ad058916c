"""Applying through a reboot, over a client that loses its host at bad moments."""

from dataclasses import dataclass, field

import pytest

from isthmus import errors
from isthmus.model.host.host_plan import HostPlan
from isthmus.nfv import apply
from isthmus.nfv.plan.demand import parse_demand
from isthmus.nfv.plan.refusal import plan_or_refuse
from isthmus.testing.nfv.nfv_host import Shape, make_host, make_nic
from isthmus.testing.nfv.nfv_shapes.published import ONE_PORT


@dataclass
class Said:
    stdout: str
    exit_code: int = 0
    stderr: str = ""


@dataclass
class Host:
    """A host whose first apply asks for a reboot; it answers once after it, and then is busy."""

    busy: int
    name: str = "host"
    boots: int = 0
    applied: list[int] = field(default_factory=list)

    def run_script(self, script: str, *, timeout_s: float = 60.0) -> Said:
        del timeout_s
        if "boot_id" in script:
            return Said(f"boot-{self.boots}")
        if "systemctl reboot" in script:
            self.boots += 1
            return Said("")
        if self.boots and self.busy:
            self.busy -= 1
            raise errors.Unreachable("banner exchange timed out")
        self.applied.append(self.boots)
        return Said("done" if self.boots else "changed /etc/default/grub\nreboot needed")


def _plan() -> HostPlan:
    nics = (make_nic("dpdk1", 0),)
    shape = Shape(name="host", cores_per_node=8, memory_mib=(65536,), nics=nics)
    return plan_or_refuse(make_host(shape), parse_demand(ONE_PORT))


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(apply, "POLL_S", 0.0)


def test_a_host_that_is_busy_after_its_reboot_is_asked_again() -> None:
    host = Host(busy=3)
    done = apply.apply_plan(host, _plan(), may_reboot=True)
    assert (done.rebooted, done.needs_reboot) == (True, False)
    assert host.applied == [0, 1]


def test_a_host_that_stays_away_is_told_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(apply, "REBOOT_TIMEOUT_S", 0.2)
    with pytest.raises(errors.Unreachable, match="banner"):
        apply.apply_plan(Host(busy=10**9), _plan(), may_reboot=True)
