"""The installation page, typed on three machines: they end as two sites with a network over both.

The machines have what the page says that they have already (`installed.py`); all else comes from
the page. Of its commands two are not typed as they stand: `pip install`, for which the repository's
own environment is mounted at its place, and `scp`, since the machines have no SSH.
"""

import dataclasses
import json
import re
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.lab import installed
from tests.lab.conftest import need_lab, new_name
from tests.lab.install_page import Typed, read_steps
from tests.lab.machine import REPOSITORY, Machine, Switch
from tests.lab.page import run_step

from isthmus.testing.needed import lack, skip_without

#: What a machine has beside what a lab needs.
NEEDED = {"mariadbd", "mariadb-install-db", "memcached", "nsenter", "openssl", "uwsgi"}
pytestmark = [pytest.mark.lab, pytest.mark.root]

PAGE = REPOSITORY / "docs" / "howto" / "install.md"
CENTRAL, LENGTH = "192.0.2.10", 24
SITES = {"site1": "192.0.2.17", "site2": "192.0.2.33"}
#: Chapters that are typed once for each site, by their sections.
CHAPTERS = {
    "A site": (
        "Accounts of the site, at central",
        "Package, at the site",
        "Neutron of the site",
        "isthmus.conf of the site",
        "OVN of the site",
        "Join the site",
    ),
    "Servers": ("A server at each site",),
    "Upgrade of a site": ("Upgrade a site",),
}
INSTALL, COPY, MANY = "pip install ", "scp ", "openstack <<"


@pytest.fixture
def machines(tmp_path: Path) -> Iterator[dict[str, Machine]]:
    need_lab()
    skip_without(NEEDED - {one for one in NEEDED if shutil.which(one)})
    if "overlay" not in Path("/proc/filesystems").read_text():
        lack("overlayfs", hint="the kernel does not have it")
    name, made = new_name(), {}
    switch = Switch(f"{name}-wan")
    try:
        for number, role in enumerate(("central", *SITES)):
            made[role] = Machine(f"{name}-{role}", switch, number, tmp_path / role)
        yield made
    finally:
        for machine in made.values():
            machine.close()
        switch.close()


class Typist:
    """Types the page's commands, each where it belongs, and notes how long they take."""

    def __init__(self, machines: dict[str, Machine]) -> None:
        """Sit down before the machines; a site's controller is its hypervisor as well."""
        self._machines = machines
        self._shells = {("central", "central"): machines["central"].shell}
        for site in SITES:
            self._shells["site", site] = machines[site].shell
            self._shells["hypervisor", site] = machines[site].open_shell()
        self.took: dict[str, float] = {}

    def type(self, typed: Typed, site: str) -> None:
        """Type one command, at central or at the controller or hypervisor of a site."""
        began, step = time.monotonic(), typed.step
        place = "central" if typed.machine == "central" else site
        if INSTALL in step.command:
            return
        if step.command.startswith(COPY):
            self._copy(self._machines[place], step.command)
        elif step.command.startswith(MANY):
            # It ends with 1 whatever it did, and goes on behind a command that was refused.
            _, output = self._shells[typed.machine, place].run(step.command)
            assert not re.search(r"[Ee]rror|[Ee]xception|No .* found", output), output
        else:
            run_step(self._shells[typed.machine, place], step, PAGE.name)
        key = f"{step.line} {site}: {step.command.splitlines()[0][:70]}"
        self.took[key] = round(time.monotonic() - began, 1)

    def _copy(self, machine: Machine, command: str) -> None:
        _, source, target = machine.run(f"echo {command}").split()
        address, _, name = target.partition(":")
        other = next(self._machines[one] for one, known in SITES.items() if known == address)
        (other.shared / name).write_text(machine.run(f"cat {source}"))
        other.run(f"cp {other.shared}/{name} {name}")


def plan(text: str) -> list[tuple[Typed, str]]:
    """Put the commands of the page in the order in which a person types them, each with its site.

    A chapter that is for each site is typed for the first one, and then for the second one.
    """
    found = re.search(r"^SITE=site2 .*$", text, re.MULTILINE)
    assert found
    values = dict(word.split("=") for word in found[0].split())
    steps, planned, at = read_steps(text), [], 0
    while at < len(steps):
        end = at
        while end < len(steps) and find_chapter(steps[end]) == find_chapter(steps[at]):
            end += 1
        chapter = steps[at:end]
        planned += [(typed, "site1") for typed in chapter]
        if find_chapter(steps[at]):
            planned += [(with_values(typed, values), "site2") for typed in chapter]
        at = end
    return planned


def find_chapter(typed: Typed) -> str:
    """Return which chapter for each site a step belongs to; empty for none."""
    return next((name for name, own in CHAPTERS.items() if typed.step.section in own), "")


def with_values(typed: Typed, values: dict[str, str]) -> Typed:
    """Set the values of another site where the page sets those of the first one."""
    if not typed.step.command.startswith("SITE="):
        return typed
    names = [word.partition("=")[0] for word in typed.step.command.split()]
    command = " ".join(f"{name}={values[name]}" for name in names)
    return dataclasses.replace(typed, step=dataclasses.replace(typed.step, command=command))


@pytest.mark.timeout(2400)
def test_three_machines_become_two_sites(
    machines: dict[str, Machine], record_property: Callable[[str, object], None]
) -> None:
    prepare(machines)
    typist = Typist(machines)
    try:
        for typed, site in plan(PAGE.read_text()):
            typist.type(typed, site)
    except AssertionError as failure:
        logs = "\n".join(machine.read_logs() for machine in machines.values())
        raise AssertionError(f"{failure}\n{logs}") from failure
    finally:
        record_property("seconds", typist.took)
        print(json.dumps(typist.took, indent=1))  # noqa: T201
    network = machines["central"].run("openstack network show net1 -f value -c id").strip()
    for site in SITES:
        assert f"neutron-{network}" in machines[site].run("ovn-nbctl ls-list")
        chassis = machines[site].run("ovn-sbctl --bare --columns=name list Chassis").split()
        assert set(chassis) == {f"{one}-h1" for one in SITES}


def prepare(machines: dict[str, Machine]) -> None:
    """Give the machines what the page says that they have already."""
    installed.set_address(machines["central"], CENTRAL, LENGTH)
    for machine in machines.values():
        installed.start_database(machine)
    for site, address in SITES.items():
        installed.start_vswitch(machines[site], address, LENGTH)
        installed.start_ovn(machines[site])
    installed.start_keystone(machines["central"], CENTRAL)
    machines["central"].run(f"export ADMIN_PASSWORD={installed.ADMIN_PASSWORD}")
