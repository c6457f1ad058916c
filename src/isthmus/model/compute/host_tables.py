"""What of a cell's tables belongs to a host, and how it is found. Pure.

A test holds these names against Nova's own models: a table that Nova adds is in neither list.

Source:
    nova.db.main.models 34.0.0.
"""

import enum
from dataclasses import dataclass


class By(enum.Enum):
    """What says that a row belongs to a host."""

    HOST = "host"  #: the name of the host in a column
    SERVER = "server"  #: the uuid of one of its servers
    NODE = "node"  #: the id of its compute node
    ACTION = "action"  #: the id of an action on one of its servers


@dataclass(frozen=True, slots=True)
class MovedTable:
    """One table whose rows go with a host."""

    name: str
    by: By
    column: str
    #: Columns with ids of rows of other tables, which are numbered anew in another cell.
    refers: tuple[tuple[str, str], ...] = ()
    binary: str = ""  #: only rows of this service
    keeps_id: bool = False  #: names outside the database derive from its ids


#: In the order in which rows can be inserted.
MOVED: tuple[MovedTable, ...] = (
    MovedTable("services", By.HOST, "host", binary="nova-compute"),
    MovedTable("compute_nodes", By.HOST, "host", (("service_id", "services"),)),
    # libvirt's domain names derive from it.
    MovedTable("instances", By.HOST, "host", (("compute_id", "compute_nodes"),), keeps_id=True),
    MovedTable("block_device_mapping", By.SERVER, "instance_uuid"),
    MovedTable("console_auth_tokens", By.SERVER, "instance_uuid"),
    MovedTable("instance_actions", By.SERVER, "instance_uuid"),
    MovedTable(
        "instance_actions_events", By.ACTION, "action_id", (("action_id", "instance_actions"),)
    ),
    MovedTable("instance_extra", By.SERVER, "instance_uuid"),
    MovedTable("instance_faults", By.SERVER, "instance_uuid"),
    # The id that a guest reads from EC2's metadata derives from it.
    MovedTable("instance_id_mappings", By.SERVER, "uuid", keeps_id=True),
    MovedTable("instance_info_caches", By.SERVER, "instance_uuid"),
    MovedTable("instance_metadata", By.SERVER, "instance_uuid"),
    MovedTable("instance_system_metadata", By.SERVER, "instance_uuid"),
    MovedTable("migrations", By.SERVER, "instance_uuid", (("dest_compute_id", "compute_nodes"),)),
    MovedTable("pci_devices", By.NODE, "compute_node_id", (("compute_node_id", "compute_nodes"),)),
    MovedTable("share_mapping", By.SERVER, "instance_uuid"),
    MovedTable("tags", By.SERVER, "resource_id"),
    MovedTable("task_log", By.HOST, "host"),
    MovedTable("virtual_interfaces", By.SERVER, "instance_uuid"),
    MovedTable("volume_usage_cache", By.SERVER, "instance_uuid"),
)

#: What stays where it is, and why.
LEFT: dict[str, str] = {
    "alembic_version": "the revision of the tables",
    "certificates": "of users; no part of Nova writes it any more",
    "project_user_quotas": "quotas are in the API database",
    "quota_classes": "quotas are in the API database",
    "quota_usages": "quotas are in the API database",
    "quotas": "quotas are in the API database",
    "reservations": "quotas are in the API database",
    "s3_images": "numbers of images, the same for every host of a cell",
    "security_group_instance_association": "of nova-network, which is gone; empty with Neutron",
    "security_group_rules": "of nova-network",
    "security_groups": "of nova-network",
}
#: Rows that nova-manage archived: nothing reads them but what purges them.
SHADOW = "shadow_"


def is_accounted(table: str) -> bool:
    """Tell whether it is decided what becomes of a table's rows."""
    known = {one.name for one in MOVED} | LEFT.keys()
    return table in known or table.startswith(SHADOW)
