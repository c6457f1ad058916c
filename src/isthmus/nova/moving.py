"""Resize and migration: a guest's folder is where every hypervisor of its lab can read it.

Live, a guest goes on as it is and its links are handed over: the hypervisor that it leaves moves
their ends into the namespace of the other one, which has said before where that is.
"""

import dataclasses
from typing import Any

import nova.conf
from nova.objects import migrate_data as nova_data
from nova.virt import driver
from typing_extensions import override

from isthmus import errors
from isthmus.nova import decide
from isthmus.nova.guests import Guests
from isthmus.nova.record import find_arrival, find_guest, record_arrival, record_guest

CONF = nova.conf.CONF


class Moving(driver.ComputeDriver):
    """The part of the driver that moves guests between hypervisors."""

    guests: Guests
    _node: str
    make_wired: Any

    # Resize and cold migration.

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

    # Live migration.

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
        # Of the kinds that Nova knows, the one that says this and nothing else.
        return nova_data.HyperVLiveMigrateData(is_shared_instance_path=True)

    @override
    def cleanup_live_migration_destination_check(self, context: Any, dest_check_data: Any) -> None:
        """Remove nothing: nothing was made to find out."""

    @override
    def check_can_live_migrate_source(
        self, context: Any, instance: Any, dest_check_data: Any, block_device_info: Any = None
    ) -> Any:
        return dest_check_data

    @override
    def pre_live_migration(
        self,
        context: Any,
        instance: Any,
        block_device_info: Any,
        network_info: Any,
        disk_info: Any,
        migrate_data: Any,
    ) -> Any:
        record_arrival(self.guests.folder(instance.uuid), self.guests.arrival)
        return migrate_data

    @override
    def live_migration(
        self,
        context: Any,
        instance: Any,
        dest: str,
        post_method: Any,
        recover_method: Any,
        block_migration: bool = False,
        migrate_data: Any = None,
    ) -> None:
        guest = self.guests.get(instance.uuid)
        arrival = find_arrival(self.guests.folder(instance.uuid))
        assert arrival is not None
        try:
            self.guests.hand_over(guest, arrival)
        except errors.IsthmusError:
            self.guests.take_back(guest, arrival)
            recover_method(context, instance, dest, migrate_data=migrate_data)
            raise
        post_method(context, instance, dest, block_migration, migrate_data)

    @override
    def post_live_migration_at_source(self, context: Any, instance: Any, network_info: Any) -> None:
        """Leave nothing behind: the links went away with the guest."""

    @override
    def post_live_migration_at_destination(
        self,
        context: Any,
        instance: Any,
        network_info: Any,
        block_migration: bool = False,
        block_device_info: Any = None,
    ) -> None:
        record_arrival(self.guests.folder(instance.uuid), None)

    @override
    def rollback_live_migration_at_destination(
        self,
        context: Any,
        instance: Any,
        network_info: Any,
        block_device_info: Any,
        destroy_disks: bool = True,
        migrate_data: Any = None,
    ) -> None:
        record_arrival(self.guests.folder(instance.uuid), None)

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
