"""The columns of Nova's and Placement's tables that are read here."""

import sqlalchemy as sa

METADATA = sa.MetaData()


def _table(name: str, *columns: str, times: tuple[str, ...] = ()) -> sa.Table:
    return sa.Table(
        name,
        METADATA,
        *(sa.Column(one) for one in columns),
        *(sa.Column(one, sa.DateTime()) for one in times),
    )


# Nova's API database.
CELL_MAPPINGS = _table(
    "cell_mappings", "id", "uuid", "name", "transport_url", "database_connection", "disabled"
)
HOST_MAPPINGS = _table("host_mappings", "cell_id", "host")
INSTANCE_MAPPINGS = _table(
    "instance_mappings",
    "id",
    "instance_uuid",
    "cell_id",
    "project_id",
    "queued_for_delete",
    times=("created_at",),
)
AGGREGATES = _table("aggregates", "id", "uuid", "name")
AGGREGATE_HOSTS = _table("aggregate_hosts", "aggregate_id", "host")
AGGREGATE_METADATA = _table("aggregate_metadata", "aggregate_id", "key", "value")
REQUEST_SPECS = _table("request_specs", "instance_uuid", "spec")
FLAVORS = _table(
    "flavors",
    "id",
    "name",
    "flavorid",
    "vcpus",
    "memory_mb",
    "root_gb",
    "ephemeral_gb",
    "swap",
    "disabled",
)
FLAVOR_EXTRA_SPECS = _table("flavor_extra_specs", "flavor_id", "key", "value")

# The database of a cell.
COMPUTE_NODES = _table(
    "compute_nodes",
    "deleted",
    "uuid",
    "host",
    "hypervisor_hostname",
    "numa_topology",
    "pci_stats",
    "cpu_allocation_ratio",
    "ram_allocation_ratio",
)
SERVICES = _table(
    "services",
    "id",
    "deleted",
    "host",
    "binary",
    "version",
    "disabled",
    "disabled_reason",
    "forced_down",
    times=("last_seen_up", "created_at"),
)

INSTANCES = _table(
    "instances",
    "id",
    "uuid",
    "deleted",
    "hidden",
    "user_id",
    "project_id",
    "image_ref",
    "kernel_id",
    "ramdisk_id",
    "hostname",
    "launch_index",
    "key_name",
    "power_state",
    "vm_state",
    "task_state",
    "memory_mb",
    "vcpus",
    "root_gb",
    "ephemeral_gb",
    "host",
    "node",
    "instance_type_id",
    "reservation_id",
    "availability_zone",
    "display_name",
    "display_description",
    "locked",
    "locked_by",
    "root_device_name",
    "config_drive",
    "access_ip_v4",
    "access_ip_v6",
    "auto_disk_config",
    "progress",
    times=("created_at", "updated_at", "deleted_at", "launched_at", "terminated_at"),
)
INSTANCE_METADATA = _table("instance_metadata", "instance_uuid", "key", "value", "deleted")
INSTANCE_SYSTEM_METADATA = _table("instance_system_metadata", "instance_uuid", "key", "value")
INSTANCE_EXTRA = _table("instance_extra", "instance_uuid", "flavor", "trusted_certs")
INSTANCE_FAULTS = _table(
    "instance_faults",
    "id",
    "instance_uuid",
    "code",
    "message",
    "details",
    "deleted",
    times=("created_at",),
)
BLOCK_DEVICES = _table(
    "block_device_mapping", "id", "instance_uuid", "volume_id", "delete_on_termination", "deleted"
)
#: What users give their servers may be 64 KiB each: it is read where somebody wants it.
USER_DATA = sa.table("instances", sa.column("uuid"), sa.column("user_data"))
INSTANCE_INFO_CACHES = _table("instance_info_caches", "instance_uuid", "network_info", "deleted")
MIGRATIONS = _table("migrations", "uuid", "status", "deleted")
REVISION = _table("alembic_version", "version_num")
TAGS = _table("tags", "resource_id", "tag")

# Placement.
RESOURCE_PROVIDERS = _table(
    "resource_providers", "id", "uuid", "name", "root_provider_id", "parent_provider_id"
)
INVENTORIES = _table(
    "inventories",
    "resource_provider_id",
    "resource_class_id",
    "total",
    "reserved",
    "min_unit",
    "max_unit",
    "step_size",
    "allocation_ratio",
)
ALLOCATIONS = _table(
    "allocations", "resource_provider_id", "resource_class_id", "consumer_id", "used"
)
RESOURCE_CLASSES = _table("resource_classes", "id", "name")
TRAITS = _table("traits", "id", "name")
PROVIDER_TRAITS = _table("resource_provider_traits", "resource_provider_id", "trait_id")
PROVIDER_AGGREGATES = _table("resource_provider_aggregates", "resource_provider_id", "aggregate_id")
PLACEMENT_AGGREGATES = _table("placement_aggregates", "id", "uuid")
