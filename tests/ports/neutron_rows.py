"""The columns of Neutron's tables that our stores lock and read, for databases without Neutron."""

import sqlalchemy as sa

from isthmus.model.resource import RESOURCES

METADATA = sa.MetaData()
TABLES = {
    name: sa.Table(
        name,
        METADATA,
        sa.Column("id", sa.String(36), primary_key=True),
        sa.Column("project_id", sa.String(255)),
    )
    for name in sorted(row.table for row in RESOURCES.values())
}
for _name in ("network_id", "device_owner"):
    TABLES["ports"].append_column(sa.Column(_name, sa.String(255)))
TABLES["subnets"].append_column(sa.Column("network_id", sa.String(36)))
TABLES["ports"].append_column(sa.Column("device_id", sa.String(255), nullable=False, default=""))
TABLES["floatingips"] = sa.Table(
    "floatingips",
    METADATA,
    sa.Column("id", sa.String(36), primary_key=True),
    sa.Column("project_id", sa.String(255)),
    sa.Column("router_id", sa.String(36)),
    sa.Column("fixed_port_id", sa.String(36)),
)
TABLES["portforwardings"] = sa.Table(
    "portforwardings",
    METADATA,
    sa.Column("id", sa.String(36), primary_key=True),
    sa.Column("floatingip_id", sa.String(36)),
    sa.Column("internal_neutron_port_id", sa.String(36)),
)
TABLES["subports"] = sa.Table(
    "subports",
    METADATA,
    sa.Column("port_id", sa.String(36), primary_key=True),
    sa.Column("trunk_id", sa.String(36)),
)
TABLES["routerports"] = sa.Table(
    "routerports",
    METADATA,
    sa.Column("router_id", sa.String(36), primary_key=True),
    sa.Column("port_id", sa.String(36), primary_key=True),
    sa.Column("port_type", sa.String(255)),
)
