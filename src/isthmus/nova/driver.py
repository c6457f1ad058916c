"""Nova's virt driver: a server is a network namespace of the lab, wired by Neutron and OVN.

It only translates: what there is to decide is in `decide`, what there is to do in `guests`. See
`isthmus.nova.compute` for how Nova finds it.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import nova.conf
import os_resource_classes as orc
from nova import exception
from nova.api.metadata import base as instance_metadata
from nova.compute import power_state
from nova.objects import fields
from nova.virt import configdrive, driver, hardware, images
from nova.virt import node as virt_node
from typing_extensions import override

from isthmus.nova import decide, options
from isthmus.nova.guests import Guests, Place
from isthmus.nova.moving import Moving
from isthmus.nova.record import Guest

CONF = nova.conf.CONF
CONF.register_opts(options.OPTIONS, group=options.GROUP)

#: Where a person says that a server has to stop now, Nova gives no time to do it in.
_NOW = 0


class NamespaceDriver(Moving):
    """The driver of one hypervisor."""

    capabilities: ClassVar[dict[str, bool]] = {
        **driver.ComputeDriver.capabilities,
        "has_imagecache": False,
        "supports_attach_interface": True,
        "supports_image_type_raw": True,
    }

    def __init__(self, virtapi: Any) -> None:
        """Bind it to the hypervisor that `nova.conf` names."""
        super().__init__(virtapi)
        self._node = ""
        self.guests: Guests

    @override
    def init_host(self, host: str) -> None:
        own = CONF.isthmus
        self._node = host
        place = Place(
            lab=Path(own.lab),
            site=own.site,
            host=host,
            netns=own.netns,
            switch_socket=own.switch_socket,
        )
        self.guests = Guests(place)
        (place.lab / "guests").mkdir(exist_ok=True)

    # What the hypervisor is and has.

    @override
    def get_available_nodes(self, refresh: bool = False) -> list[str]:
        return [self._node]

    @override
    def get_nodenames_by_uuid(self, refresh: bool = False) -> dict[str, str]:
        return {virt_node.get_local_node_uuid(): self._node}

    @override
    def get_host_ip_addr(self) -> str:
        return str(CONF.my_ip)

    @override
    def get_host_uptime(self) -> str:
        return self.guests.read_uptime()

    @override
    def get_available_resource(self, nodename: str) -> dict[str, Any]:
        used = self.guests.list_guests()
        supported = (
            fields.Architecture.X86_64,
            fields.HVType.FAKE,
            fields.VMMode.EXE,
        )
        return {
            "uuid": virt_node.get_local_node_uuid(),
            "vcpus": CONF.isthmus.vcpus,
            "memory_mb": CONF.isthmus.memory_mb,
            "local_gb": CONF.isthmus.disk_gb,
            "vcpus_used": 0,
            "memory_mb_used": 0,
            "local_gb_used": 0,
            "running_vms": sum(self.guests.is_running(guest) for guest in used),
            "hypervisor_type": "isthmus",
            "hypervisor_version": 1,
            "hypervisor_hostname": nodename,
            "cpu_info": "{}",
            "disk_available_least": CONF.isthmus.disk_gb,
            "supported_instances": [supported],
            "numa_topology": None,
        }

    @override
    def update_provider_tree(
        self, provider_tree: Any, nodename: str, allocations: Any = None
    ) -> None:
        found = provider_tree.data(nodename).inventory
        total = {
            orc.VCPU: CONF.isthmus.vcpus,
            orc.MEMORY_MB: CONF.isthmus.memory_mb,
            orc.DISK_GB: CONF.isthmus.disk_gb,
        }
        reserved = {
            orc.VCPU: CONF.reserved_host_cpus,
            orc.MEMORY_MB: CONF.reserved_host_memory_mb,
            orc.DISK_GB: self._get_reserved_host_disk_gb_from_config(),
        }
        inventory = decide.render_inventory(total, self._get_allocation_ratios(found), reserved)
        provider_tree.update_inventory(nodename, inventory)

    # What guests there are.

    @override
    def list_instances(self) -> list[str]:
        return [guest.name for guest in self.guests.list_guests()]

    @override
    def list_instance_uuids(self) -> list[str]:
        return [guest.uuid for guest in self.guests.list_guests()]

    @override
    def instance_exists(self, instance: Any) -> bool:
        return self.guests.find(instance.uuid) is not None

    @override
    def get_info(self, instance: Any, use_cache: bool = True) -> Any:
        running = self.guests.is_running(self._get(instance))
        state = power_state.RUNNING if running else power_state.SHUTDOWN
        return hardware.InstanceInfo(state=state)

    @override
    def get_console_output(self, context: Any, instance: Any) -> bytes:
        return self.guests.read_console(instance.uuid, decide.CONSOLE_BYTES)

    # Life of a guest.

    @override
    def spawn(
        self,
        context: Any,
        instance: Any,
        image_meta: Any,
        injected_files: Any,
        admin_password: str | None,
        allocations: Any,
        network_info: Any = None,
        block_device_info: Any = None,
        power_on: bool = True,
        accel_info: Any = None,
    ) -> None:
        folder = self.guests.folder(instance.uuid)
        folder.mkdir(parents=True, exist_ok=True)
        images.fetch(context, instance.image_ref, str(folder / "init"))
        if configdrive.required_by(instance):
            extra = {"admin_pass": admin_password} if admin_password else {}
            _write_config_drive(folder / "config", instance, injected_files, extra, network_info)
        vifs = network_info or []
        guest = self._plan_guest(instance, vifs)
        self.make_wired(instance, guest, vifs)
        if power_on:
            self.guests.start(guest)

    @override
    def destroy(
        self,
        context: Any,
        instance: Any,
        network_info: Any,
        block_device_info: Any = None,
        destroy_disks: bool = True,
        destroy_secrets: bool = True,
    ) -> None:
        guest = self.guests.find(instance.uuid)
        if guest is not None:
            self.guests.stop(guest)
        self.cleanup(context, instance, network_info, block_device_info, destroy_disks)

    @override
    def cleanup(
        self,
        context: Any,
        instance: Any,
        network_info: Any,
        block_device_info: Any = None,
        destroy_disks: bool = True,
        migrate_data: Any = None,
        destroy_vifs: bool = True,
        destroy_secrets: bool = True,
    ) -> None:
        for vif in network_info or ():
            self.guests.unplug(str(vif["id"]))
        guest = self.guests.find(instance.uuid)
        if guest is not None:
            self.guests.leave(guest)
        if destroy_disks:
            self.guests.remove(instance.uuid)

    @override
    def reboot(
        self,
        context: Any,
        instance: Any,
        network_info: Any,
        reboot_type: str,
        block_device_info: Any = None,
        bad_volumes_callback: Any = None,
        accel_info: Any = None,
        share_info: Any = None,
    ) -> None:
        soft = reboot_type == "SOFT"
        guest = self._get(instance)
        self.guests.stop(guest, CONF.shutdown_timeout if soft else _NOW)
        if not soft:
            self.guests.make(guest)
        self.guests.start(self._get(instance))

    @override
    def power_off(self, instance: Any, timeout: float = 0, retry_interval: float = 0) -> None:
        guest = self._get(instance)
        self.guests.stop(guest, timeout)
        self.guests.unplug_all(guest)

    @override
    def power_on(
        self,
        context: Any,
        instance: Any,
        network_info: Any,
        block_device_info: Any = None,
        accel_info: Any = None,
        share_info: Any = None,
    ) -> None:
        guest = self._get(instance)
        self.guests.make(guest)
        self.guests.start(guest)

    @override
    def resume_state_on_host_boot(
        self,
        context: Any,
        instance: Any,
        network_info: Any,
        share_info: Any,
        block_device_info: Any = None,
    ) -> None:
        self.power_on(context, instance, network_info)

    # Interfaces.

    @override
    def plug_vifs(self, instance: Any, network_info: Any) -> None:
        guest = self.guests.find(instance.uuid)
        if guest is not None:
            self.guests.make(guest)

    @override
    def unplug_vifs(self, instance: Any, network_info: Any) -> None:
        for vif in network_info or ():
            self.guests.unplug(str(vif["id"]))

    @override
    def attach_interface(self, context: Any, instance: Any, image_meta: Any, vif: Any) -> None:
        guest = self._get(instance)
        new = decide.plan_interface(vif, [one.name for one in guest.interfaces])
        guest = self.guests.set_interfaces(guest, [*guest.interfaces, new])
        self.guests.plug(guest, new)

    @override
    def detach_interface(self, context: Any, instance: Any, vif: Any) -> None:
        guest = self._get(instance)
        self.guests.unplug(str(vif["id"]))
        left = [one for one in guest.interfaces if one.port_id != vif["id"]]
        self.guests.set_interfaces(guest, left)

    @override
    def make_wired(self, instance: Any, guest: Guest, vifs: Sequence[Mapping[str, Any]]) -> None:
        """Make a guest, and wait until Neutron says that each of its ports is plugged.

        Args:
            instance: Nova's.
            guest: what to make.
            vifs: as Nova has them.

        Raises:
            VirtualInterfaceCreateException: Neutron does not say so in time.
        """
        events = decide.list_events(vifs)
        timeout = CONF.vif_plugging_timeout
        try:
            with self.virtapi.wait_for_instance_event(instance, events, timeout=timeout):
                self.guests.make(guest)
        except exception.InstanceEventTimeout as error:
            if CONF.vif_plugging_is_fatal:
                raise exception.VirtualInterfaceCreateException from error

    def _plan_guest(self, instance: Any, vifs: Sequence[Mapping[str, Any]]) -> Guest:
        return Guest(
            uuid=instance.uuid,
            name=instance.display_name or instance.uuid,
            netns=decide.netns_name(CONF.isthmus.guest_prefix, instance.uuid),
            host=self._node,
            host_netns=CONF.isthmus.netns,
            interfaces=decide.plan_interfaces(vifs),
        )

    def _get(self, instance: Any) -> Guest:
        guest = self.guests.find(instance.uuid)
        if guest is None:
            raise exception.InstanceNotFound(instance_id=instance.uuid)
        return guest


def _write_config_drive(
    folder: Path, instance: Any, injected: Any, extra: Mapping[str, str], network_info: Any
) -> None:
    """Write the files of a config drive, as a guest sees them that has mounted it."""
    told = instance_metadata.InstanceMetadata(
        instance, content=injected, extra_md=dict(extra), network_info=network_info
    )
    for path, data in told.metadata_for_config_drive():
        file = folder / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(data.encode() if isinstance(data, str) else data)
