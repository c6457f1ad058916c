"""The tables: journal, leases, site mappings, datapaths, sites, locations, shadows, exits ...

Written out in full on purpose: a migration stays what it was when the tables move on.
"""

import sqlalchemy as sa
from alembic import op
from neutron.db.migration import cli

revision = "a1c0ffee0002"
down_revision = "a1c0ffee0001"
branch_labels = (cli.EXPAND_BRANCH,)

_BIG = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade() -> None:
    """Make the tables of both tiers."""
    _create_both_tiers()
    _create_central()
    _create_site()


def _create_both_tiers() -> None:
    op.create_table(
        "isthmus_journal",
        sa.Column("lane", sa.String(64), primary_key=True),
        sa.Column("type", sa.String(32), primary_key=True),
        sa.Column("resource_id", sa.String(36), primary_key=True),
        sa.Column("id", sa.String(36), nullable=False, unique=True),
        sa.Column("rank", sa.Integer, nullable=False),
        sa.Column("generation", _BIG, nullable=False),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("not_before", sa.DateTime),
        sa.Column("owner", sa.String(64)),
        sa.Column("expires_at", sa.DateTime),
        sa.Column("parked", sa.Boolean, nullable=False),
        sa.Column("last_error", sa.Text),
        sa.Column("awaited", sa.Boolean, nullable=False),
        sa.Column("created_at", sa.DateTime, nullable=False),
        sa.Column("changed_at", sa.DateTime, nullable=False),
        sa.Index("ix_isthmus_journal_due", "lane", "parked", "not_before", "owner", "expires_at"),
        sa.Index("ix_isthmus_journal_work", "lane", "parked", "rank", "not_before", "changed_at"),
        sa.Index("ix_isthmus_journal_owner", "lane", "owner"),
        sa.Index("ix_isthmus_journal_age", "lane", "parked", "created_at"),
        sa.Index("ix_isthmus_journal_object", "resource_id"),
    )
    op.create_table(
        "isthmus_lanes",
        sa.Column("lane", sa.String(64), primary_key=True),
        sa.Column("sent", _BIG, nullable=False),
        sa.Column("seen", _BIG, nullable=False),
        sa.Column("told", _BIG, nullable=False),
    )
    op.create_table(
        "isthmus_epochs",
        sa.Column("id", sa.String(16), primary_key=True),
        sa.Column("epoch", _BIG, nullable=False),
        sa.Column("life", sa.String(16), nullable=False),
        sa.Column("recovered", sa.Boolean, nullable=False),
        sa.Column("reason", sa.Text),
        sa.Column("secret", sa.String(64), nullable=False),
        sa.Column("registration", sa.String(36)),
        sa.Column("heard", _BIG, nullable=False),
        sa.Column("proof", sa.String(64)),
        sa.Column("registered", _BIG, nullable=False),
        sa.Column("replaced_by", _BIG, nullable=False),
        sa.Column("behind", sa.Integer, nullable=False),
    )
    op.create_table(
        "isthmus_witnesses",
        sa.Column("id", sa.String(32), primary_key=True),
        sa.Column("turn", _BIG, nullable=False),
    )
    op.create_table(
        "isthmus_leases",
        sa.Column("id", sa.String(36), primary_key=True),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("pool_id", sa.String(36), nullable=False),
        sa.Column("site", sa.String(64), nullable=False),
        sa.Column("first", sa.String(40), nullable=False),
        sa.Column("last", sa.String(40), nullable=False),
        sa.Column("created_at", sa.DateTime, nullable=False),
        sa.Column("origin", sa.String(36)),
        sa.UniqueConstraint("kind", "pool_id", "first", name="uniq_isthmus_leases0first"),
        sa.Index("ix_isthmus_leases_holder", "pool_id", "site"),
        sa.Index("ix_isthmus_leases_site", "site"),
    )
    op.create_table(
        "isthmus_returns",
        sa.Column("id", sa.String(36), primary_key=True),
        sa.Column("pool_id", sa.String(36), nullable=False, index=True),
        sa.Column("origin", sa.String(36), nullable=False),
        sa.Column("first", sa.String(40), nullable=False),
        sa.Column("last", sa.String(40), nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("changed_at", sa.DateTime, nullable=False),
    )
    op.create_table(
        "isthmus_pools",
        sa.Column("kind", sa.String(16), primary_key=True),
        sa.Column("pool_id", sa.String(36), primary_key=True),
        sa.Column("turn", _BIG, nullable=False),
    )
    op.create_table(
        "isthmus_spares",
        sa.Column("pool_id", sa.String(36), primary_key=True),
        sa.Column("first", sa.String(40), primary_key=True),
        sa.Column("last", sa.String(40), nullable=False),
    )
    op.create_table(
        "isthmus_recalls",
        sa.Column("lease_id", sa.String(36), primary_key=True),
        sa.Column("pool_id", sa.String(36), nullable=False, index=True),
        sa.Column("site", sa.String(64), nullable=False),
        sa.Column("first", sa.String(40), nullable=False),
        sa.Column("last", sa.String(40), nullable=False),
        sa.Column("id", sa.String(36), nullable=False, unique=True),
        sa.Column("wanted", sa.Integer, nullable=False),
        sa.Column("heard", sa.Boolean, nullable=False),
    )
    op.create_table(
        "isthmus_resting",
        sa.Column("pool_id", sa.String(36), primary_key=True),
        sa.Column("number", sa.String(40), primary_key=True),
        sa.Column("port_id", sa.String(36), nullable=False),
    )
    op.create_table(
        "isthmus_site_mappings",
        sa.Column("type", sa.String(32), primary_key=True),
        sa.Column("resource_id", sa.String(36), primary_key=True),
        sa.Column("site", sa.String(64), primary_key=True),
        sa.Column("id", sa.String(36), nullable=False, unique=True),
        sa.Column("project_id", sa.String(255)),
        sa.Column("base", sa.Text().with_variant(sa.Text(2**24 - 1), "mysql")),
        sa.Column("complete", sa.Boolean, nullable=False),
        sa.Column("withdrawn", sa.Boolean, nullable=False),
        sa.Column("stale", sa.Boolean, nullable=False),
        sa.Column("home_of", sa.String(36), unique=True),
        sa.Column("created_at", sa.DateTime, nullable=False),
        sa.Index("ix_isthmus_site_mappings_site", "site", "type"),
        sa.Index("ix_isthmus_site_mappings_stale", "stale", "type", "site"),
    )
    op.create_table(
        "isthmus_datapaths",
        sa.Column("network_id", sa.String(36), primary_key=True),
        sa.Column("datapath_key", sa.Integer, nullable=False, unique=True),
    )


def _create_central() -> None:
    op.create_table(
        "isthmus_registrations",
        sa.Column("site", sa.String(64), primary_key=True),
        sa.Column("registration", sa.String(36), nullable=False),
        sa.Column("epoch", _BIG, nullable=False),
        sa.Column("life", sa.String(16)),
        sa.Column("waits", sa.Boolean, nullable=False),
        sa.Column("owes", sa.Boolean, nullable=False),
        sa.Column("registered_at", sa.DateTime),
        sa.Column("named_ports", sa.Boolean, nullable=False),
        sa.Column("again", sa.Integer, nullable=False),
        sa.Column("answered", _BIG),
    )
    op.create_table(
        "isthmus_registration_parts",
        sa.Column("site", sa.String(64), primary_key=True),
        sa.Column("digest", sa.String(64), primary_key=True),
        sa.Column("number", sa.Integer, primary_key=True),
        sa.Column("turn", _BIG, nullable=False),
        sa.Column("text", sa.Text().with_variant(sa.Text(2**24 - 1), "mysql"), nullable=False),
    )
    op.create_table(
        "isthmus_named_numbers",
        sa.Column("site", sa.String(64), primary_key=True),
        sa.Column("kind", sa.String(16), primary_key=True),
        sa.Column("pool_id", sa.String(36), primary_key=True),
        sa.Column("number", sa.String(40), primary_key=True),
        sa.Column("port_id", sa.String(36), primary_key=True),
        sa.Column("word", sa.String(8), nullable=False),
        sa.Column("home", sa.String(64), nullable=False),
        sa.Column("decided", sa.Boolean, nullable=False),
        sa.Index("ix_isthmus_named_numbers_number", "pool_id", "number"),
        sa.Index("ix_isthmus_named_numbers_port", "port_id"),
    )
    op.create_table(
        "isthmus_named_leases",
        sa.Column("id", sa.String(36), primary_key=True),
        sa.Column("site", sa.String(64), primary_key=True),
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("pool_id", sa.String(36), nullable=False),
        sa.Column("first", sa.String(40), nullable=False),
        sa.Column("last", sa.String(40), nullable=False),
        sa.Column("origin", sa.String(36)),
    )
    op.create_table(
        "isthmus_named_ports",
        sa.Column("port_id", sa.String(36), primary_key=True),
        sa.Column("site", sa.String(64), primary_key=True),
        sa.Index("ix_isthmus_named_ports_site", "site"),
    )
    op.create_table(
        "isthmus_transit_ports",
        sa.Column("router_id", sa.String(36), primary_key=True),
        sa.Column("site", sa.String(64), primary_key=True),
        sa.Column("port_key", sa.Integer, nullable=False),
        sa.UniqueConstraint("router_id", "port_key", name="uniq_isthmus_transit_ports0key"),
        sa.Index("ix_isthmus_transit_ports_site", "site"),
    )
    op.create_table(
        "isthmus_sites",
        sa.Column("id", sa.String(36), primary_key=True),
        sa.Column("name", sa.String(64), nullable=False, unique=True),
        sa.Column("region", sa.String(255), nullable=False, unique=True),
        sa.Column("availability_zones", sa.Text, nullable=False),
        sa.Column("state", sa.String(16), nullable=False),
        sa.Column("service_user", sa.String(255), nullable=False, unique=True),
        sa.Column("tunnel_prefixes", sa.Text, nullable=False),
        sa.Column("fabrics", sa.Text, nullable=False),
        sa.Column("description", sa.String(255), nullable=False),
        sa.Column("reachability", sa.String(16), nullable=False),
        sa.Column("last_seen_at", sa.DateTime),
        sa.Column("last_error", sa.Text),
        sa.Column("created_at", sa.DateTime, nullable=False),
        sa.Column("updated_at", sa.DateTime, nullable=False),
    )
    op.create_table(
        "isthmus_locations",
        sa.Column("port_id", sa.String(36), primary_key=True),
        sa.Column("network_id", sa.String(36), nullable=False, index=True),
        sa.Column("site", sa.String(64), nullable=False, index=True),
        sa.Column("chassis", sa.String(255), nullable=False),
        sa.Column("hostname", sa.String(255), nullable=False),
        sa.Column("encap_ip", sa.String(64), nullable=False),
        sa.Column("port_key", sa.Integer),
        sa.UniqueConstraint("network_id", "port_key", name="uniq_isthmus_locations0key"),
        sa.Index("ix_isthmus_locations_chassis", "site", "chassis"),
    )
    op.create_table(
        "isthmus_gateway_hypervisors",
        sa.Column("router_id", sa.String(36), primary_key=True),
        sa.Column("site", sa.String(64), primary_key=True),
        sa.Column("chassis", sa.String(255), nullable=False),
        sa.Column("hostname", sa.String(255), nullable=False),
        sa.Column("encap_ip", sa.String(64), nullable=False),
    )
    op.create_table(
        "isthmus_hypervisors",
        sa.Column("chassis", sa.String(255), primary_key=True),
        sa.Column("site", sa.String(64), nullable=False, index=True),
        sa.Column("encap_ip", sa.String(64), nullable=False, unique=True),
    )
    op.create_table(
        "isthmus_events",
        sa.Column("number", _BIG, primary_key=True, autoincrement=True),
        sa.Column("id", sa.String(36), nullable=False, unique=True),
        sa.Column("created_at", sa.DateTime, nullable=False, index=True),
        sa.Column("what", sa.String(32), nullable=False),
        sa.Column("site", sa.String(64), nullable=False),
        sa.Column("type", sa.String(32), nullable=False),
        sa.Column("resource_id", sa.String(36), nullable=False),
        sa.Column("who", sa.String(255), nullable=False),
        sa.Column("details", sa.Text, nullable=False),
        sa.Index("ix_isthmus_events_site", "site", "number"),
        sa.Index("ix_isthmus_events_object", "resource_id", "number"),
    )
    op.create_table(
        "isthmus_renewals",
        sa.Column("id", sa.String(36), primary_key=True),
        sa.Column("site", sa.String(64), nullable=False, index=True),
        sa.Column("network_id", sa.String(36)),
        sa.Column("state", sa.String(16), nullable=False, index=True),
        sa.Column("owner", sa.String(64)),
        sa.Column("expires_at", sa.DateTime),
        sa.Column("pages", sa.Integer, nullable=False),
        sa.Column("noted", sa.Integer, nullable=False),
        sa.Column("last_error", sa.Text),
        sa.Column("created_at", sa.DateTime, nullable=False),
        sa.Column("ended_at", sa.DateTime),
    )


def _create_site() -> None:
    op.create_table(
        "isthmus_applied",
        sa.Column("resource_id", sa.String(36), primary_key=True),
        sa.Column("sequence", _BIG, nullable=False, index=True),
    )
    op.create_table(
        "isthmus_refusals",
        sa.Column("site", sa.String(64), primary_key=True),
        sa.Column("resource_id", sa.String(36), primary_key=True),
        sa.Column("id", sa.String(36), nullable=False, unique=True),
        sa.Column("type", sa.String(32), nullable=False),
        sa.Column("attributes", sa.String(255), nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.Column("created_at", sa.DateTime, nullable=False),
        sa.Column("changed_at", sa.DateTime, nullable=False),
    )
    op.create_table(
        "isthmus_port_keys",
        sa.Column("port_id", sa.String(36), primary_key=True),
        sa.Column("network_id", sa.String(36), nullable=False),
        sa.Column("port_key", sa.Integer, nullable=False),
        sa.Column("freed", _BIG),
        sa.Column("rested", sa.Boolean, nullable=False),
        sa.UniqueConstraint("network_id", "port_key", name="uniq_isthmus_port_keys0key"),
        sa.Index("ix_isthmus_port_keys_freed", "network_id", "freed"),
    )
    op.create_table(
        "isthmus_shadows",
        sa.Column("port_id", sa.String(36), primary_key=True),
        sa.Column("network_id", sa.String(36), nullable=False),
        sa.Column("chassis", sa.String(255), nullable=False, index=True),
        sa.Column("port_key", sa.Integer, nullable=False),
        sa.Column("state", sa.Text, nullable=False),
        sa.Index("ix_isthmus_shadows_key", "network_id", "port_key"),
    )
    op.create_table(
        "isthmus_exits",
        sa.Column("router_id", sa.String(36), primary_key=True),
        sa.Column("plan", sa.Text().with_variant(sa.Text(2**24 - 1), "mysql"), nullable=False),
        sa.Column("datapath_key", sa.Integer, index=True),
    )
    op.create_table(
        "isthmus_exit_hypervisors",
        sa.Column("router_id", sa.String(36), primary_key=True),
        sa.Column("site", sa.String(64), primary_key=True),
        sa.Column("chassis", sa.String(255), nullable=False, index=True),
        sa.Column("hostname", sa.String(255), nullable=False),
        sa.Column("encap_ip", sa.String(64), nullable=False),
    )
