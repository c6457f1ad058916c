"""Resize and migration: a guest's folder is where every hypervisor of its lab can read it."""

import dataclasses
from typing import Any

import nova.conf
from nova import exception
from nova.virt import driver
from typing_extensions import override

from isthmus.nova import decide
from isthmus.nova.guests import Guests
from isthmus.nova.record import find_guest, record_guest

CONF = nova.conf.CONF


class Moving(driver.ComputeDriver):
    """The part of the driver that moves guests between hypervisors."""

    guests: Guests
    _node: str
    make_wired: Any

    @override
    def migrate_disk_and_power_off(
        self,
        context: Any,
        instance: Any,
        dest: str,
        flavor: Any,
        network_info: Any,
        block_device_info: Any = None,
        timeout: float = 0,
        retry_interval: float = 0,
    ) -> str:
        guest = self.guests.get(instance.uuid)
        self.guests.stop(guest, timeout)
        self.guests.leave(guest)
        return "[]"

    @override
    def finish_migration(
        self,
        context: Any,
        migration: Any,
        instance: Any,
        disk_info: Any,
        network_info: Any,
        image_meta: Any,
        resize_instance: bool,
        allocations: Any,
        block_device_info: Any = None,
        power_on: bool = True,
        share_info: Any = None,
    ) -> None:
        self._take_over(instance, network_info, power_on=power_on)

    @override
    def finish_revert_migration(
        self,
        context: Any,
        instance: Any,
        network_info: Any,
        migration: Any,
        block_device_info: Any = None,
        power_on: bool = True,
        share_info: Any = None,
    ) -> None:
        self._take_over(instance, network_info, power_on=power_on)

    @override
    def confirm_migration(
        self, context: Any, migration: Any, instance: Any, network_info: Any
    ) -> None:
        """Leave nothing behind: the guest went away with all that it had."""

    @override
    def check_instance_shared_storage_local(self, context: Any, instance: Any) -> dict[str, str]:
        return {"folder": str(self.guests.folder(instance.uuid))}

    @override
    def check_instance_shared_storage_remote(self, context: Any, data: dict[str, str]) -> bool:
        return self.guests.sees(data["folder"])

    @override
    def check_instance_shared_storage_cleanup(self, context: Any, data: dict[str, str]) -> None:
        """Remove nothing: nothing was made to find out."""

    @override
    def instance_on_disk(self, instance: Any) -> bool:
        return self.guests.folder(instance.uuid).exists()

    @override
    def check_can_live_migrate_destination(
        self,
        context: Any,
        instance: Any,
        src_compute_info: Any,
        dst_compute_info: Any,
        block_migration: bool = False,
        disk_over_commit: bool = False,
    ) -> Any:
        raise exception.MigrationPreCheckError(reason="servers of a lab are not migrated live")

    def _take_over(self, instance: Any, network_info: Any, *, power_on: bool) -> None:
        folder = self.guests.folder(instance.uuid)
        left = find_guest(folder)
        assert left is not None
        guest = dataclasses.replace(
            left,
            host=self._node,
            host_netns=CONF.isthmus.netns,
            interfaces=decide.plan_interfaces(network_info),
            process=None,
        )
        record_guest(folder, guest)
        self.make_wired(instance, guest, network_info)
        if power_on:
            self.guests.start(guest)
