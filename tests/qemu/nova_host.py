"""Run in the guest, with Nova's own Python: what Nova makes of the plan's files, as JSON.

`python3 nova_host.py FLAVORS` starts Nova's libvirt driver on the configuration in /etc/nova as
nova-compute does, lets it say its inventory and NUMA topology, then claims one instance of each
flavor with Nova's own placement on cells and starts it with the driver's own domain. A demand with
a `port` gets one of vhost-user, plugged by os-vif; one with a `boot` has a kernel of its own. Left
out is what needs a database, a message queue or another service: Placement, images and Neutron.
"""

# mypy: disable-error-code="import-not-found,import-untyped"

import json
import os
import shutil
import sys
import traceback
import uuid
from pathlib import Path
from typing import Any

import nova.conf
import os_vif
import vif_plug_ovs.privsep
from nova import config, context, objects
from nova.compute import provider_tree
from nova.network import model as network_model
from nova.virt import fake, hardware
from nova.virt.libvirt import blockinfo, driver, utils
from nova_flavor import make_flavor  # laid beside this file

NODE = "nfv-guest"


def open_driver() -> Any:
    objects.register_all()
    config.parse_args(["nova-compute"], configure_db=False, init_rpc=False)
    # As nova.compute.manager does.
    nova.conf.neutron.register_dynamic_opts(nova.conf.CONF)
    nova.conf.devices.register_dynamic_opts(nova.conf.CONF)
    os_vif.initialize()
    # As root there is no need of a helper that is.
    vif_plug_ovs.privsep.vif_plug.set_client_mode(False)
    opened = driver.LibvirtDriver(fake.FakeVirtAPI())
    opened.init_host(NODE)
    return opened


def say_inventory(opened: Any) -> dict[str, Any]:
    tree = provider_tree.ProviderTree()
    tree.new_root(NODE, str(uuid.uuid4()))
    # As Placement has a host that reported before; else Nova looks in its database for one to
    # reshape. The driver replaces it.
    tree.update_inventory(NODE, {"PCPU": {"total": 0}})
    opened.update_provider_tree(tree, NODE)
    return dict(tree.data(NODE).inventory)


def say_cells(topology: Any) -> list[dict[str, Any]]:
    return [
        {
            "id": cell.id,
            "shared": sorted(cell.cpuset),
            "dedicated": sorted(cell.pcpuset),
            "siblings": sorted(map(sorted, cell.siblings)),
            "pages": {str(page.size_kb): [page.total, page.reserved] for page in cell.mempages},
            "physnets": sorted(cell.network_metadata.physnets),
            "tunneled": cell.network_metadata.tunneled,
        }
        for cell in topology.cells
    ]


def make_instance(number: int, demand: dict[str, Any]) -> Any:
    flavor = make_flavor(demand, number=number)
    boot = demand.get("boot")
    image = objects.ImageMeta(
        id=str(uuid.uuid4()),
        name="blank",
        disk_format="raw",
        min_disk=0,
        container_format="bare",
        size=1 << 20,
        properties=objects.ImageMetaProps(
            hw_video_model="none",
            **({"os_command_line": boot["line"]} if boot else {}),
        ),
    )
    return objects.Instance(
        id=number,
        uuid=str(uuid.uuid4()),
        display_name=demand["name"],
        project_id="p",
        user_id="u",
        image_ref=image.id,
        host=NODE,
        node=NODE,
        flavor=flavor,
        system_metadata={},
        metadata={},
        os_type=None,
        vcpus=flavor.vcpus,
        memory_mb=flavor.memory_mb,
        root_gb=0,
        ephemeral_gb=0,
        root_device_name=None,
        default_ephemeral_device=None,
        config_drive="",
        default_swap_device=None,
        kernel_id="kernel" if boot else "",
        ramdisk_id="ramdisk" if boot else "",
        vm_mode=None,
        hostname=demand["name"],
        architecture=None,
        vcpu_model=None,
        resources=None,
        pci_devices=objects.PciDeviceList(objects=[]),
        created_at=None,
        key_data=None,
        numa_topology=hardware.numa_get_constraints(flavor, image),
    ), image


def main() -> None:
    opened = open_driver()
    topology = opened._get_host_numa_topology()
    said: dict[str, Any] = {
        "inventory": say_inventory(opened),
        "cells": say_cells(topology),
        "domains": [],
    }
    for number, demand in enumerate(json.loads(sys.argv[1]), start=1):
        instance, image = make_instance(number, demand)
        limits = objects.NUMATopologyLimits(
            cpu_allocation_ratio=1.0,
            ram_allocation_ratio=1.0,
            network_metadata=objects.NetworkMetadata(
                physnets=set(demand["networks"]) - {"tunnel"},
                tunneled="tunnel" in demand["networks"],
            ),
        )
        claimed = hardware.numa_fit_instance_to_host(topology, instance.numa_topology, None, limits)
        instance.numa_topology = claimed
        topology = hardware.numa_usage_from_instance_numa(topology, claimed)
        said["domains"].append(start(opened, instance, image, demand))
    sys.stdout.write(json.dumps(said) + "\n")


def make_ports(demand: dict[str, Any]) -> Any:
    """Make what Neutron says of a port that OVN has bound on a host with the `netdev` datapath."""
    if "port" not in demand:
        return network_model.NetworkInfo()
    port = demand["port"]
    network = network_model.Network(
        id=str(uuid.uuid4()), bridge="br-int", label="packets", subnets=[], mtu=1500
    )
    name = ("vhu" + port["id"])[:14]
    return network_model.NetworkInfo(
        [
            network_model.VIF(
                id=port["id"],
                address=port["mac"],
                network=network,
                type=network_model.VIF_TYPE_VHOSTUSER,
                details={
                    network_model.VIF_DETAILS_VHOSTUSER_MODE: "server",
                    network_model.VIF_DETAILS_VHOSTUSER_OVS_PLUG: True,
                    network_model.VIF_DETAILS_VHOSTUSER_SOCKET: f"{port['folder']}/{name}",
                    network_model.VIF_DETAILS_OVS_DATAPATH_TYPE: "netdev",
                },
                vnic_type=network_model.VNIC_TYPE_NORMAL,
                ovs_interfaceid=port["id"],
                devname=name,
            )
        ]
    )


def start(opened: Any, instance: Any, image: Any, demand: dict[str, Any]) -> dict[str, Any]:
    folder = Path(utils.get_instance_path(instance))
    folder.mkdir(parents=True)
    with (folder / "disk").open("wb") as disk:
        disk.truncate(1 << 20)
    ctxt = context.get_admin_context()
    disks = blockinfo.get_disk_info("qemu", instance, image)
    for name, path in demand.get("boot", {}).items():
        if name != "line":
            shutil.copy(path, folder / name)
    ports = make_ports(demand)
    opened.plug_vifs(instance, ports)
    xml = opened._get_guest_xml(ctxt, instance, ports, disks, image)
    opened._create_guest(ctxt, xml, instance)
    return {
        "name": instance.name,
        "flavor": instance.flavor.name,
        "cells": [cell.id for cell in instance.numa_topology.cells],
        "pins": {
            str(vcpu): cpu
            for cell in instance.numa_topology.cells
            for vcpu, cpu in cell.cpu_pinning.items()
        },
        "state": opened.get_info(instance).state,
        "ports": [one["devname"] for one in ports],
        "console": str(folder / "console.log"),
    }


if __name__ == "__main__":
    code = 1
    try:
        main()
        code = 0
    except Exception:  # noqa: BLE001 - it is told, and then all threads end
        traceback.print_exc()
    sys.stdout.flush()
    # Nova's and libvirt's threads would wait for events for ever.
    os._exit(code)
