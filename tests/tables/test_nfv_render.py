"""Golden files and scripts of a plan, and that a shell and the tools' own readers take them."""

import configparser
import fnmatch
import json
import os
import re
import subprocess
from pathlib import Path

import pytest

from isthmus.facts.cpuset import parse_list
from isthmus.facts.host import oslo_conf
from isthmus.facts.host.oslo_conf import parse_ini
from isthmus.model.host.host_plan import HostPlan
from isthmus.model.host.nfv_layout import Layout
from isthmus.nfv.check.topic import services
from isthmus.nfv.plan.demand import parse_demand
from isthmus.nfv.plan.host import plan_host
from isthmus.nfv.render import devices, files, ovs, script, slices
from isthmus.nfv.render.layout import PLACES
from isthmus.nfv.render.whole import render_plan
from isthmus.testing.nfv.nfv_host import Shape, make_host, make_nic
from isthmus.testing.nfv.nfv_shapes import PUBLISHED, by_name
from isthmus.testing.nfv.nfv_state import make_plan

FOLDER = Path(__file__).parent / "nfv" / "rendered"
MACHINES = ("xeon-nics-on-one-node", "epyc-7742-nps4", "mirantis-one-node")


def plan_of(name: str) -> HostPlan:
    one = by_name(name)
    plan = plan_host(one.inventory, parse_demand(one.demand))
    assert isinstance(plan, HostPlan)
    return plan


@pytest.mark.parametrize("name", MACHINES)
def test_rendered_files(name: str) -> None:
    rendered = render_plan(plan_of(name))
    rendered = {key: text for key, text in rendered.items() if "/" in key}
    path = FOLDER / f"{name}.json"
    if os.environ.get("ISTHMUS_GOLDEN") == "write":
        FOLDER.mkdir(exist_ok=True)
        lines = {key: text.splitlines() for key, text in sorted(rendered.items())}
        path.write_text(json.dumps(lines, indent=1) + "\n")
    wanted = {key: "\n".join(lines) + "\n" for key, lines in json.loads(path.read_text()).items()}
    assert rendered == wanted


@pytest.mark.parametrize("one", PUBLISHED, ids=lambda one: one.inventory.name)
def test_a_shell_takes_the_scripts(one: object, tmp_path: Path) -> None:
    plan = plan_of(one.inventory.name)  # type: ignore[attr-defined]
    rendered = render_plan(plan)
    for name, text in rendered.items():
        if name.endswith(".sh") or text.startswith("#!/bin/sh"):
            done = subprocess.run(
                ["sh", "-n"], input=text, text=True, capture_output=True, check=False
            )
            assert (done.returncode, done.stderr) == (0, ""), name


def test_what_is_written_for_nova_reads_back() -> None:
    plan = plan_of("epyc-7742-nps4")
    text = next(file.content for file in files.render_files(plan) if file.path == files.NOVA)
    assert parse_ini(text) == dict(plan.nova)
    # oslo.config reads a repeated option as several; the standard library's reader must at least
    # take the syntax.
    parser = configparser.ConfigParser(strict=False, interpolation=None)
    parser.read_string(text)
    assert parser["compute"]["cpu_dedicated_set"] == plan.nova["compute/cpu_dedicated_set"][0]
    for spec in plan.nova["pci/device_spec"]:
        assert json.loads(spec)["physical_network"] == "direct"


def test_each_kernel_line_is_short_enough() -> None:
    """The kernel cuts what is longer than COMMAND_LINE_SIZE, 2048 on x86 and arm64."""
    for one in PUBLISHED:
        line = " ".join(plan_of(one.inventory.name).kernel_args)
        assert len(line) < 1800, one.inventory.name


def test_a_bond_is_made_at_once() -> None:
    """Open vSwitch takes a bond's ports only together."""
    commands = ovs.render_ports(plan_of("mirantis-one-node"))
    bond = next(command for command in commands if "add-bond" in command)
    assert bond[bond.index("bond-prv") + 1 : bond.index("bond-prv") + 3] == ("dpdk0", "dpdk1")
    assert not any("add-port" in command for command in commands)


def test_a_port_of_mellanox_keeps_its_driver() -> None:
    plan = plan_of("epyc-7742-nps4")
    assert {port.driver for port in plan.dpdk_ports} == {""}
    text = files.render_devices(plan)
    assert "modprobe vfio-pci" not in text
    assert "functions 0000:e1:00.0 16" in text


KERNEL_PORTS = """
physical_networks:
- {name: mgmt, by: kernel, nics: [a0], carries_management: true}
- {name: data, by: kernel, nics: [s0], mtu: 9000}
flavors: [{name: f, vcpus: 2, ram_mib: 2048}]
"""


def test_what_the_kernel_keeps_is_set_up_at_boot() -> None:
    """No bridge does that; the host's own way in is left to who set it up."""
    nics = (make_nic("a0", 0, bus=0x10), make_nic("s0", 1, bus=0x30))
    shape = Shape(name="h", cores_per_node=8, memory_mib=(65536,), nics=nics)
    plan = make_plan(make_host(shape), KERNEL_PORTS)
    text = files.render_devices(plan).replace(devices.FUNCTIONS.strip("\n"), "")
    assert "\nuplink s0\n" in text
    assert "uplink a0" not in text
    assert files.DEVICES in {file.path for file in files.render_files(plan)}


def test_containers_are_narrowed_only_where_there_are_some() -> None:
    plan = plan_of("mirantis-one-node")
    text = script.render_apply(plan)
    assert 'if [ -n "$V" ]; then\nput /etc/systemd/system/machine-isthmus.slice 644 units' in text
    assert 'if [ "$E" = docker ]; then\nput /etc/systemd/system/system.slice.d/61-' in text
    assert f"contain machine-isthmus.slice {slices.list_begin(plan)}" in text
    assert not any("machine-" in file.path for file in files.render_files(plan))


def test_unneeded_keys_are_taken_away() -> None:
    text = script.render_apply(plan_of("mirantis-one-node"))
    assert "key other_config dpdk-extra ''" in text
    assert "key other_config pmd-cpu-mask 0x82" in text


def test_ovs_values_are_quoted_as_ovsdb_wants_them() -> None:
    assert ovs.quote("0x30c") == "0x30c"
    assert ovs.quote("2048,2048") == '"2048,2048"'
    assert ovs.quote('a"b') == '"a\\"b"'


def test_the_hugepage_unit_names_every_pool() -> None:
    plan = plan_of("epyc-7742-nps4")
    text = files.render_pages_unit(plan)
    for node in plan.nodes:
        for page in node.pages:
            assert (
                f"echo {page.total} >/sys/devices/system/node/node{node.id}/hugepages/"
                f"hugepages-{page.size_kib}kB/nr_hugepages" in text
            )


def test_isolated_cpus_agree_everywhere() -> None:
    plan = plan_of("xeon-nics-on-one-node")
    line = dict(arg.partition("=")[::2] for arg in plan.kernel_args)
    assert parse_list(line["isolcpus"].removeprefix("managed_irq,domain,")) == plan.isolated_cpus
    assert parse_list(line["nohz_full"]) == plan.isolated_cpus
    assert set(parse_list(line["irqaffinity"])).isdisjoint(plan.isolated_cpus)


def test_groups_hold_everybody_to_the_plan() -> None:
    plan = plan_of("xeon-nics-on-one-node")
    found = slices.render_slices(plan)
    allowed = {
        path.split("/")[4].removesuffix(".d"): set(parse_list(match[1]))
        for path, text in found.items()
        if (match := re.search("AllowedCPUs=(.*)", text))
    }
    assert set(allowed) == {"system.slice", "user.slice", "init.scope", "isthmus.slice"}
    switch = allowed.pop("isthmus.slice")
    assert set(plan.pmd_cpus) < switch
    assert switch.isdisjoint(plan.dedicated_cpus)
    assert all(cpus.isdisjoint(plan.isolated_cpus) for cpus in allowed.values())


@pytest.mark.parametrize("where", list(Layout))
def test_what_is_put_somewhere_is_looked_for_there(where: Layout) -> None:
    """Else apply puts options in place, and check never sees them."""
    places = PLACES[where]
    gathered = (oslo_conf.NOVA_FILES, oslo_conf.NEUTRON_FILES)
    for kind, place in ((0, places.nova), (1, places.ovs_agent), (1, places.sriov_agent)):
        assert any(fnmatch.fnmatchcase(place.path, one) for one in gathered[kind]), place.path
        assert any(place.path.startswith(one) for one in oslo_conf.OPTION_FILES[where][kind])
    for units in (places.nova_units, places.ovs_agent_units, places.sriov_agent_units):
        known = {name for names in services.SERVICES.values() for name in names}
        assert set(units) <= known, "what apply restarts, check sees dead"
