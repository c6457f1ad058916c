"""The machine with a plan on it, and what tests ask of it."""

import dataclasses
import time
from collections.abc import Collection, Mapping

from tests.qemu.machine import Guest

from isthmus.facts.gather import collect_facts
from isthmus.facts.protocols import HostClient
from isthmus.model.host.host_plan import HostPlan
from isthmus.model.verdict import Verdict
from isthmus.nfv.apply import Applied
from isthmus.nfv.check.live import check_facts

DEMAND = """
physical_networks:
- {name: left, by: ovs-dpdk, nics: ["0000:41:00.0"]}
- {name: right, by: ovs-dpdk, nics: ["0000:81:00.0"]}
tunnel_network: left
page_size: 2MiB
host: {memory_mib: 2048}
pmd: {max_sleep_us: 5000}  # the machine's twelve CPUs are two real ones
flavors:
- {name: vnf.left, vcpus: 2, ram_mib: 256, count: 1, networks: [left]}
- {name: vnf.right, vcpus: 2, ram_mib: 256, count: 1, networks: [right]}
"""


@dataclasses.dataclass(frozen=True)
class Tuned:
    """The machine, its plan, what was found before it was applied, and what that did."""

    guest: Guest
    plan: HostPlan
    before: tuple[Verdict, ...]
    first: Applied

    @property
    def client(self) -> HostClient:
        return self.guest.client

    def run(self, script: str, *, timeout_s: float = 180) -> str:
        """Run a script there, which must end well."""
        output = self.client.run_script(script, timeout_s=timeout_s)
        assert output.exit_code == 0, output.stdout + output.stderr
        return output.stdout

    def check(self) -> dict[str, list[str]]:
        """Check the host; give code -> subjects of all findings that are no advice."""
        return self.check_both()[0]

    def check_both(self) -> tuple[dict[str, list[str]], dict[str, list[str]]]:
        """Check the same facts of the host with the plan, and by good practice alone."""
        facts = collect_facts(self.client, settings=True)
        return _told(facts, self.plan), _told(facts, None)

    def until_clean(self) -> dict[str, list[str]]:
        """Check until nothing is found: the switch takes its settings in its own time."""
        return self._until((), ())[0]

    def until_found(
        self, expected: Mapping[str, Collection[str]], bare: Collection[str] = ()
    ) -> dict[str, list[str]]:
        """Check until all codes are found, those in `bare` without the plan too.

        Each that the plan finds names its subjects.
        """
        found, alone = self._until(expected, bare)
        assert set(bare) <= set(alone), alone
        for code, subjects in expected.items():
            assert code in found, found
            for subject in subjects:
                assert any(subject in one for one in found[code]), found
        return found

    def _until(
        self, expected: Collection[str], bare: Collection[str]
    ) -> tuple[dict[str, list[str]], dict[str, list[str]]]:
        deadline = time.monotonic() + 300
        while True:
            found, alone = self.check_both()
            there = set(expected) <= set(found) and set(bare) <= set(alone)
            if (there if expected else not found) or time.monotonic() > deadline:
                return found, alone


def _told(facts: str, plan: HostPlan | None) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for finding in check_facts(facts, plan).findings:
        if finding.severity != "advice":
            found.setdefault(finding.code, []).append(str(finding.subject))
            assert finding.evidence
            assert finding.remedy
    return found
