"""What is written into files and scripts that root runs is no more than a word."""

import dataclasses
import json
import shlex
from pathlib import Path
from typing import Any

import pytest

from isthmus import errors
from isthmus.facts.document import to_document
from isthmus.facts.source import document
from isthmus.model.host.host_plan import HostPlan, Refusal
from isthmus.nfv.plan.demand import parse_demand
from isthmus.nfv.plan.host import plan_host
from isthmus.nfv.plan.words import check_words
from isthmus.nfv.render import devices, files
from isthmus.nfv.render.whole import render_plan
from isthmus.testing.nfv.nfv_host import Shape, make_host, make_nic
from isthmus.testing.nfv.nfv_state import make_plan
from isthmus.wiring import nfv as wiring

HOST = make_host(
    Shape(
        name="h",
        cores_per_node=8,
        memory_mib=(65536,),
        nics=(make_nic("a0", 0, bus=0x10), make_nic("s0", 1, bus=0x30)),
    )
)
DEMAND = """
physical_networks:
- {name: left, by: ovs-dpdk, nics: [a0]}
- {name: direct, by: sriov, nics: [s0], vfs: 4, trusted: true, spoof_check: false}
flavors: [{name: f, vcpus: 2, ram_mib: 2048, networks: [left]}]
"""
EVIL = "; touch /tmp/x; #"


PLAN = make_plan(HOST, DEMAND)


def saved(**values: Any) -> dict[str, Any]:
    body: dict[str, Any] = json.loads(json.dumps(to_document(HOST)))
    for key, value in values.items():
        if key in {"name"}:
            body[key] = value
        else:
            body["nics"][1][key.removeprefix("nic_")] = value
    return body


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"name": "h\n[DEFAULT]\ntransport_url = rabbit://evil"}, "no name of a host"),
        ({"name": "../../../etc"}, "no name of a host"),
        ({"name": "\u202ehost"}, "no name of a host"),
        ({"nic_pci_address": f"0000:30:00.0{EVIL}"}, "PCI address"),
        ({"nic_pci_address": "zz"}, "PCI address"),
        ({"nic_vendor_id": '80"86'}, "four hexadecimal digits"),
        ({"nic_vf_product_id": "154c\n[x]"}, "four hexadecimal digits"),
        ({"nic_name": "s0\nx"}, "no name of an interface"),
    ],
)
def test_an_inventory_has_words_only(values: dict[str, str], said: str) -> None:
    with pytest.raises(errors.Invalid, match=said) as refused:
        document.parse_inventory(json.dumps(saved(**values)), name="x")
    assert refused.value.message.isprintable()


def test_an_address_in_capitals_is_the_same() -> None:
    body = saved(nic_pci_address="0000:AF:00.0")
    inventory = document.parse_inventory(json.dumps(body), name="x")
    assert inventory.nics[1].pci_address == "0000:af:00.0"


def test_what_no_machine_has_is_refused() -> None:
    body = saved()
    body["nodes"][0]["memory_mib"] = 10**30
    with pytest.raises(errors.Invalid, match="MiB of memory"):
        document.parse_inventory(json.dumps(body), name="x")


def port(**values: Any) -> HostPlan:
    return dataclasses.replace(
        PLAN, dpdk_ports=(dataclasses.replace(PLAN.dpdk_ports[0], **values),)
    )


def function(**values: Any) -> HostPlan:
    return dataclasses.replace(PLAN, sriov=(dataclasses.replace(PLAN.sriov[0], **values),))


EDITED = {
    "host": dataclasses.replace(PLAN, host="../h"),
    "a kernel argument": dataclasses.replace(PLAN, kernel_args=("quiet$(reboot)",)),
    "a value of Nova's": dataclasses.replace(
        PLAN, nova={**PLAN.nova, "compute/cpu_shared_set": ("0\n[x]\ny=1",)}
    ),
    "a section of Nova's": dataclasses.replace(PLAN, nova={"a]\n[b/c": ("1",)}),
    "a key of the switch's": dataclasses.replace(PLAN, other_config={f"x{EVIL}": "1"}),
    "a driver": port(driver=f"vfio-pci{EVIL}"),
    "an address": port(pci_address=f"0000:10:00.0{EVIL}"),
    "a bridge": port(bridge="br$(id)"),
    "an interface": function(nic=f"s0{EVIL}"),
    "tuned's profile": dataclasses.replace(PLAN, tuned_profile="x y"),
}


def test_a_plan_has_words_only() -> None:
    assert check_words(PLAN) == ()


@pytest.mark.parametrize("name", EDITED)
def test_an_edited_plan_is_refused(name: str, tmp_path: Path) -> None:
    path = tmp_path / "plan.json"
    path.write_text(wiring.dump(EDITED[name]))
    with pytest.raises(errors.Invalid, match="has faults"):
        wiring.read_plan(path)


def test_scripts_quote_what_they_are_given() -> None:
    """A second wall: what is no word stays one argument."""
    evil = dataclasses.replace(
        PLAN,
        host=f"h\n{EVIL}",
        dpdk_ports=port(pci_address=f"0000:10:00.0{EVIL}").dpdk_ports,
        sriov=function(nic=f"s0{EVIL}").sriov,
        flavors=(dataclasses.replace(PLAN.flavors[0], name=f"f{EVIL}"),),
    )
    script = devices.render_devices(evil).replace(devices.FUNCTIONS, "")
    for text in (script, files.render_flavors(evil)):
        for line in text.splitlines():
            if "touch" in line and not line.startswith("#"):
                words = shlex.split(line.replace(">/dev/null 2>&1 ||", ""))
                assert any(word.endswith(EVIL) for word in words), line
        assert "\n; touch" not in text


def test_plans_write_below_their_folder_only() -> None:
    assert not any(".." in Path(name).parts for name in render_plan(PLAN))


@pytest.mark.parametrize("name", ["a;b", "a$(id)", "a\tb", "a/b", "a|b", "a\u202eb"])
def test_names_of_a_demand_are_words(name: str) -> None:
    body: dict[str, Any] = {
        "physical_networks": [],
        "flavors": [{"name": name, "vcpus": 1, "ram_mib": 1024}],
    }
    with pytest.raises(errors.Invalid, match="plain words"):
        parse_demand(json.dumps(body))


@pytest.mark.parametrize("path", ["sriov", "switchdev", "kernel"])
def test_a_port_without_the_name_that_the_kernel_has(path: str) -> None:
    """lspci, hwloc and a port that DPDK holds tell its address alone: Neutron needs the name."""
    address = "0000:30:00.0"
    nics = tuple(
        dataclasses.replace(nic, name=address) if nic.name == "s0" else nic for nic in HOST.nics
    )
    host = dataclasses.replace(HOST, nics=nics)
    text = "physical_networks: [{{name: direct, by: {}, nics: ['{}']}}]"
    outcome = plan_host(host, parse_demand(text.format(path, address)))
    assert isinstance(outcome, Refusal)
    assert any("the name that the kernel has" in one.message for one in outcome.constraints)
    assert isinstance(plan_host(host, parse_demand(text.format("ovs-dpdk", address))), HostPlan)


SHEET = """name,sockets,numa_nodes,cores_per_socket,threads_per_core,numbering,memory_gib
h,1,1,8,2,halves,64

device,name,pci_address,numa_node
h,Port 1/1,05:00.0,0
"""


def test_a_name_on_the_box_is_none_of_the_kernels() -> None:
    (nic,) = document.parse_inventory(SHEET, name="x").nics
    assert nic.name == nic.pci_address == "0000:05:00.0"


def test_two_devices_of_one_name() -> None:
    text = SHEET.partition("\n\n")[0] + "\nh,1,1,8,2,halves,64\n"
    with pytest.raises(errors.Invalid, match="two devices are called h"):
        document.parse_inventories(text, name="x")


CAPABILITIES = (
    "<capabilities><host><cpu><arch>x86_64</arch></cpu><topology><cells num='1'><cell id='0'>"
    "<memory unit='KiB'>{}</memory><cpus><cpu id='0' socket_id='0' core_id='0' siblings='0'/>"
    "</cpus></cell></cells></topology></host></capabilities>"
)


@pytest.mark.parametrize("text", [CAPABILITIES.format("lots"), "[" * 100_000])
def test_what_is_garbled_is_said_not_a_traceback(text: str) -> None:
    with pytest.raises(errors.IsthmusError):
        document.parse_inventory(text, name="x")
