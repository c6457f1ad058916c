"""The tables of Isthmus, as SQLAlchemy Core.

They stand in the Neutron database of each tier, so that an intent commits with the change that
caused it; `isthmus.neutron.db` gives them to Neutron's alembic branches. There are no foreign keys
to Neutron's own tables on purpose: an intent or a lease must outlive the row it speaks of until it
is dealt with. Times are UTC and naive, as everywhere in Neutron.
"""

import sqlalchemy as sa

METADATA = sa.MetaData()

UUID_LENGTH = 36  #: Neutron's UUID_FIELD_SIZE
SITE_LENGTH = 64
#: Wide enough for an IPv6 address as a zero-padded decimal number, so that text order is number
#: order.
NUMBER_LENGTH = 40
#: Chassis and host names: Neutron's binding host column.
HOST_LENGTH = 255

_BIG = sa.BigInteger().with_variant(sa.Integer(), "sqlite")

#: Both tiers. At central the lane is the site to be told; at a site it is always "central".
#: Times are the database's (`isthmus.store.sql.clock`); what is due at once has none.
JOURNAL = sa.Table(
    "isthmus_journal",
    METADATA,
    sa.Column("lane", sa.String(SITE_LENGTH), primary_key=True),
    sa.Column("type", sa.String(32), primary_key=True),
    sa.Column("resource_id", sa.String(UUID_LENGTH), primary_key=True),
    sa.Column("id", sa.String(UUID_LENGTH), nullable=False, unique=True),
    sa.Column("rank", sa.Integer, nullable=False),
    sa.Column("generation", _BIG, nullable=False),
    sa.Column("attempts", sa.Integer, nullable=False, default=0),
    sa.Column("not_before", sa.DateTime),
    sa.Column("owner", sa.String(64)),
    sa.Column("expires_at", sa.DateTime),
    sa.Column("parked", sa.Boolean, nullable=False, default=False),
    sa.Column("last_error", sa.Text),
    # Central: the site's registration found it; a site that was restored waits until it is told.
    sa.Column("awaited", sa.Boolean, nullable=False, default=False),
    sa.Column("created_at", sa.DateTime, nullable=False),
    sa.Column("changed_at", sa.DateTime, nullable=False),
    # Whether a lane has work; the work of a lane in its order; who carries it; how old it is.
    sa.Index("ix_isthmus_journal_due", "lane", "parked", "not_before", "owner", "expires_at"),
    sa.Index("ix_isthmus_journal_work", "lane", "parked", "rank", "not_before", "changed_at"),
    sa.Index("ix_isthmus_journal_owner", "lane", "owner"),
    sa.Index("ix_isthmus_journal_age", "lane", "parked", "created_at"),
    # Whether anybody still has to hear of an object; `isthmus.store.leases.resting`.
    sa.Index("ix_isthmus_journal_object", "resource_id"),
)

#: Both tiers: the numbers of the newest batches to and from each lane;
#: `isthmus.store.delivery.lane`.
LANES = sa.Table(
    "isthmus_lanes",
    METADATA,
    sa.Column("lane", sa.String(SITE_LENGTH), primary_key=True),
    sa.Column("sent", _BIG, nullable=False, default=0),
    sa.Column("seen", _BIG, nullable=False, default=0),
    # Central: the newest number that it gave with a proof, in the answer to a hello.
    sa.Column("told", _BIG, nullable=False, default=0),
)

#: Site: which batch of central's was the last one to deal with an object, of the newest batches;
#: `isthmus.store.delivery.lane`.
APPLIED = sa.Table(
    "isthmus_applied",
    METADATA,
    sa.Column("resource_id", sa.String(UUID_LENGTH), primary_key=True),
    sa.Column("sequence", _BIG, nullable=False, index=True),
)

#: Both tiers: one row, which life of this database this is; `isthmus.store.tiers.epoch`.
EPOCHS = sa.Table(
    "isthmus_epochs",
    METADATA,
    sa.Column("id", sa.String(16), primary_key=True),
    sa.Column("epoch", _BIG, nullable=False),
    # Made up when the epoch began: tells it from one of the same number of another database.
    sa.Column("life", sa.String(16), nullable=False),
    sa.Column("recovered", sa.Boolean, nullable=False),
    sa.Column("reason", sa.Text),
    sa.Column("secret", sa.String(64), nullable=False),
    # Site: the row of `isthmus_sites` that it is, and the newest proof that central gave.
    sa.Column("registration", sa.String(UUID_LENGTH)),
    sa.Column("heard", _BIG, nullable=False),
    sa.Column("proof", sa.String(64)),
    # Site: the newest epoch in which it has registered and applied the answer.
    sa.Column("registered", _BIG, nullable=False, default=0),
    # Site: the epoch of another database that central hears in its place; 0: it is heard itself.
    sa.Column("replaced_by", _BIG, nullable=False, default=0),
    # Site: whether its shadows may be older than OVN's rows; `isthmus.store.tiers.epoch.Behind`.
    sa.Column("behind", sa.Integer, nullable=False, default=0),
)

#: Both tiers: how often each witness has looked at this database; `isthmus.store.tiers.epoch`.
WITNESSES = sa.Table(
    "isthmus_witnesses",
    METADATA,
    sa.Column("id", sa.String(32), primary_key=True),
    sa.Column("turn", _BIG, nullable=False),
)

#: Central: what each site that ever registered has said of itself;
#: `isthmus.store.tiers.registration`.
REGISTRATIONS = sa.Table(
    "isthmus_registrations",
    METADATA,
    sa.Column("site", sa.String(SITE_LENGTH), primary_key=True),
    sa.Column("registration", sa.String(UUID_LENGTH), nullable=False),
    sa.Column("epoch", _BIG, nullable=False),
    sa.Column("life", sa.String(16)),
    sa.Column("waits", sa.Boolean, nullable=False),
    # An operator had central go on without it: it is heard when it has registered.
    sa.Column("owes", sa.Boolean, nullable=False, default=False),
    sa.Column("registered_at", sa.DateTime),
    # Since central was restored it has said which ports it has; `isthmus.store.tiers.named_port`.
    sa.Column("named_ports", sa.Boolean, nullable=False, default=False),
    # Something that it named became void, or smaller, after it had its answer: it registers again.
    sa.Column("again", sa.Integer, nullable=False, default=0),
    # Number of the answer to its registration; NULL where central died before it gave one. A site
    # that has not heard that number has not applied the answer, and registers again.
    sa.Column("answered", _BIG),
)

#: Central: parts of registrations that are too long for one call; `isthmus.store.tiers.parts`.
REGISTRATION_PARTS = sa.Table(
    "isthmus_registration_parts",
    METADATA,
    sa.Column("site", sa.String(SITE_LENGTH), primary_key=True),
    sa.Column("digest", sa.String(64), primary_key=True),  # of the whole text
    sa.Column("number", sa.Integer, primary_key=True),
    sa.Column("turn", _BIG, nullable=False),  # grows with each part of the site
    sa.Column("text", sa.Text().with_variant(sa.Text(2**24 - 1), "mysql"), nullable=False),
)

#: Central, while it waits for sites to register: which ports each of them has.
NAMED_PORTS = sa.Table(
    "isthmus_named_ports",
    METADATA,
    sa.Column("port_id", sa.String(UUID_LENGTH), primary_key=True),
    sa.Column("site", sa.String(SITE_LENGTH), primary_key=True),
    sa.Index("ix_isthmus_named_ports_site", "site"),
)

#: Central, after a restore: what sites say of numbers that central knows otherwise;
#: `isthmus.store.leases.named`. What is left once central has recovered is kept for its port.
NAMED_NUMBERS = sa.Table(
    "isthmus_named_numbers",
    METADATA,
    sa.Column("site", sa.String(SITE_LENGTH), primary_key=True),  # who says so
    sa.Column("kind", sa.String(16), primary_key=True),
    sa.Column("pool_id", sa.String(UUID_LENGTH), primary_key=True),
    sa.Column("number", sa.String(NUMBER_LENGTH), primary_key=True),
    sa.Column("port_id", sa.String(UUID_LENGTH), primary_key=True),
    # "has": a port of its own; "lacks": its port has it no more; "knows": a port elsewhere has it;
    # "stray": a port that its OVN alone knows.
    sa.Column("word", sa.String(8), nullable=False),
    sa.Column("home", sa.String(SITE_LENGTH), nullable=False),  # where the port is
    sa.Column("decided", sa.Boolean, nullable=False),
    sa.Index("ix_isthmus_named_numbers_number", "pool_id", "number"),
    sa.Index("ix_isthmus_named_numbers_port", "port_id"),
)

#: Central, while it waits for sites to register: leases that it has forgotten, and that cannot be
#: had before all that is known of their numbers has been heard.
NAMED_LEASES = sa.Table(
    "isthmus_named_leases",
    METADATA,
    sa.Column("id", sa.String(UUID_LENGTH), primary_key=True),
    sa.Column("site", sa.String(SITE_LENGTH), primary_key=True),
    sa.Column("kind", sa.String(16), nullable=False),
    sa.Column("pool_id", sa.String(UUID_LENGTH), nullable=False),
    sa.Column("first", sa.String(NUMBER_LENGTH), nullable=False),
    sa.Column("last", sa.String(NUMBER_LENGTH), nullable=False),
    sa.Column("origin", sa.String(UUID_LENGTH)),
)

#: Both tiers. Central holds every block of every pool; a site holds its own.
LEASES = sa.Table(
    "isthmus_leases",
    METADATA,
    sa.Column("id", sa.String(UUID_LENGTH), primary_key=True),
    sa.Column("kind", sa.String(16), nullable=False),
    sa.Column("pool_id", sa.String(UUID_LENGTH), nullable=False),
    sa.Column("site", sa.String(SITE_LENGTH), nullable=False),
    sa.Column("first", sa.String(NUMBER_LENGTH), nullable=False),
    sa.Column("last", sa.String(NUMBER_LENGTH), nullable=False),
    sa.Column("created_at", sa.DateTime, nullable=False),
    # The lease of which this is what was left above a part that went back; NULL: as it was granted.
    sa.Column("origin", sa.String(UUID_LENGTH)),
    sa.UniqueConstraint("kind", "pool_id", "first", name="uniq_isthmus_leases0first"),
    sa.Index("ix_isthmus_leases_holder", "pool_id", "site"),
    sa.Index("ix_isthmus_leases_site", "site"),
)

#: Site: what it stopped using of its leases of addresses, until central can say nothing of it that
#: is older; `isthmus.store.leases.returns`.
RETURNS = sa.Table(
    "isthmus_returns",
    METADATA,
    sa.Column("id", sa.String(UUID_LENGTH), primary_key=True),
    sa.Column("pool_id", sa.String(UUID_LENGTH), nullable=False, index=True),
    sa.Column("origin", sa.String(UUID_LENGTH), nullable=False),
    sa.Column("first", sa.String(NUMBER_LENGTH), nullable=False),
    sa.Column("last", sa.String(NUMBER_LENGTH), nullable=False),
    # `isthmus.model.lease.LeaseState`: set aside, or acknowledged. One in use is in isthmus_leases.
    sa.Column("state", sa.String(16), nullable=False),
    sa.Column("changed_at", sa.DateTime, nullable=False),
)

#: Central: a row for each pool, written by whoever allocates from it; `isthmus.store.leases.pool`.
POOLS = sa.Table(
    "isthmus_pools",
    METADATA,
    sa.Column("kind", sa.String(16), primary_key=True),
    sa.Column("pool_id", sa.String(UUID_LENGTH), primary_key=True),
    sa.Column("turn", _BIG, nullable=False),
)

#: Central: the runs of its own leases of a subnet that no port has; `isthmus.store.leases.spare`.
SPARES = sa.Table(
    "isthmus_spares",
    METADATA,
    sa.Column("pool_id", sa.String(UUID_LENGTH), primary_key=True),
    sa.Column("first", sa.String(NUMBER_LENGTH), primary_key=True),
    sa.Column("last", sa.String(NUMBER_LENGTH), nullable=False),
)

#: Both tiers: what central asks sites to give back of leases; `isthmus.store.leases.recall`.
RECALLS = sa.Table(
    "isthmus_recalls",
    METADATA,
    sa.Column("lease_id", sa.String(UUID_LENGTH), primary_key=True),
    sa.Column("pool_id", sa.String(UUID_LENGTH), nullable=False, index=True),
    sa.Column("site", sa.String(SITE_LENGTH), nullable=False),
    sa.Column("first", sa.String(NUMBER_LENGTH), nullable=False),
    sa.Column("last", sa.String(NUMBER_LENGTH), nullable=False),
    # Made up when it was asked: a site carries each one out once, however often it comes.
    sa.Column("id", sa.String(UUID_LENGTH), nullable=False, unique=True),
    sa.Column("wanted", sa.Integer, nullable=False),
    # Site: central has the answer. The row stays with the lease: the same recall may come again.
    sa.Column("heard", sa.Boolean, nullable=False, default=False),
)

#: Both tiers: addresses that a port gave up and that somebody may still take for that port's;
#: `isthmus.store.leases.resting`.
RESTING = sa.Table(
    "isthmus_resting",
    METADATA,
    sa.Column("pool_id", sa.String(UUID_LENGTH), primary_key=True),
    sa.Column("number", sa.String(NUMBER_LENGTH), primary_key=True),
    sa.Column("port_id", sa.String(UUID_LENGTH), nullable=False),
)

#: Both tiers: which object is (or is to be) at which site. A presence is the site mapping of a
#: network. At a site the site column holds the site's own name.
SITE_MAPPINGS = sa.Table(
    "isthmus_site_mappings",
    METADATA,
    sa.Column("type", sa.String(32), primary_key=True),
    sa.Column("resource_id", sa.String(UUID_LENGTH), primary_key=True),
    sa.Column("site", sa.String(SITE_LENGTH), primary_key=True),
    sa.Column("id", sa.String(UUID_LENGTH), nullable=False, unique=True),
    sa.Column("project_id", sa.String(255)),
    # Of a port: what both sides last agreed on; at central, what it made of the first report.
    sa.Column("base", sa.Text().with_variant(sa.Text(2**24 - 1), "mysql")),
    # Site: all that came in the bundle of a network is here; all that is a group's own is.
    sa.Column("complete", sa.Boolean, nullable=False, default=False),
    # Central: the site is to lose the object although it still exists.
    sa.Column("withdrawn", sa.Boolean, nullable=False, default=False),
    # Central: its database was restored, and the port's home has yet to say how the port is.
    sa.Column("stale", sa.Boolean, nullable=False, default=False),
    # Central: the port whose home this is. Unique, so that no port has two.
    sa.Column("home_of", sa.String(UUID_LENGTH), unique=True),
    sa.Column("created_at", sa.DateTime, nullable=False),
    sa.Index("ix_isthmus_site_mappings_site", "site", "type"),
    sa.Index("ix_isthmus_site_mappings_stale", "stale", "type", "site"),
)

#: Both tiers: the tunnel key of each stretched network's logical switch, the same in every site.
DATAPATHS = sa.Table(
    "isthmus_datapaths",
    METADATA,
    sa.Column("network_id", sa.String(UUID_LENGTH), primary_key=True),
    sa.Column("datapath_key", sa.Integer, nullable=False, unique=True),
)

#: Central: the port of a router's instance at each site on the router's transit network, whose
#: tunnel key is in `isthmus_datapaths` under the router's id; `isthmus.store.ports.transit`.
TRANSIT_PORTS = sa.Table(
    "isthmus_transit_ports",
    METADATA,
    sa.Column("router_id", sa.String(UUID_LENGTH), primary_key=True),
    sa.Column("site", sa.String(SITE_LENGTH), primary_key=True),
    sa.Column("port_key", sa.Integer, nullable=False),
    sa.UniqueConstraint("router_id", "port_key", name="uniq_isthmus_transit_ports0key"),
    sa.Index("ix_isthmus_transit_ports_site", "site"),
)

#: Central: the sites.
SITES = sa.Table(
    "isthmus_sites",
    METADATA,
    sa.Column("id", sa.String(UUID_LENGTH), primary_key=True),
    sa.Column("name", sa.String(SITE_LENGTH), nullable=False, unique=True),
    sa.Column("region", sa.String(255), nullable=False, unique=True),
    sa.Column("availability_zones", sa.Text, nullable=False),  # JSON list
    sa.Column("state", sa.String(16), nullable=False),
    sa.Column("service_user", sa.String(255), nullable=False, unique=True),
    # Where its hypervisors' tunnel addresses must lie; none for anywhere. JSON list.
    sa.Column("tunnel_prefixes", sa.Text, nullable=False),
    # Physical networks that it shares with the other sites that name them. JSON list.
    sa.Column("fabrics", sa.Text, nullable=False),
    sa.Column("description", sa.String(255), nullable=False, default=""),
    sa.Column("reachability", sa.String(16), nullable=False),
    sa.Column("last_seen_at", sa.DateTime),
    sa.Column("last_error", sa.Text),
    sa.Column("created_at", sa.DateTime, nullable=False),
    sa.Column("updated_at", sa.DateTime, nullable=False),
)

#: Central: where each port is bound, as its site reported it. Shadows show it.
LOCATIONS = sa.Table(
    "isthmus_locations",
    METADATA,
    sa.Column("port_id", sa.String(UUID_LENGTH), primary_key=True),
    sa.Column("network_id", sa.String(UUID_LENGTH), nullable=False, index=True),
    sa.Column("site", sa.String(SITE_LENGTH), nullable=False, index=True),
    sa.Column("chassis", sa.String(HOST_LENGTH), nullable=False, default=""),
    sa.Column("hostname", sa.String(HOST_LENGTH), nullable=False, default=""),
    sa.Column("encap_ip", sa.String(64), nullable=False, default=""),
    sa.Column("port_key", sa.Integer),
    sa.UniqueConstraint("network_id", "port_key", name="uniq_isthmus_locations0key"),
    sa.Index("ix_isthmus_locations_chassis", "site", "chassis"),
)

#: Central: which hypervisor has a router's gateway at a site; `isthmus.store.ports.gateway`.
GATEWAY_HYPERVISORS = sa.Table(
    "isthmus_gateway_hypervisors",
    METADATA,
    sa.Column("router_id", sa.String(UUID_LENGTH), primary_key=True),
    sa.Column("site", sa.String(SITE_LENGTH), primary_key=True),
    sa.Column("chassis", sa.String(HOST_LENGTH), nullable=False),
    sa.Column("hostname", sa.String(HOST_LENGTH), nullable=False),
    sa.Column("encap_ip", sa.String(64), nullable=False),
)

#: Central: whose hypervisors are whose; `isthmus.store.ports.hypervisor`.
HYPERVISORS = sa.Table(
    "isthmus_hypervisors",
    METADATA,
    sa.Column("chassis", sa.String(HOST_LENGTH), primary_key=True),
    sa.Column("site", sa.String(SITE_LENGTH), nullable=False, index=True),
    sa.Column("encap_ip", sa.String(64), nullable=False, unique=True),
)

#: Central: what it did not take of sites' reports, until it does or the site says that it is gone.
#: The site keeps the report in its own journal meanwhile.
REFUSALS = sa.Table(
    "isthmus_refusals",
    METADATA,
    sa.Column("site", sa.String(SITE_LENGTH), primary_key=True),
    sa.Column("resource_id", sa.String(UUID_LENGTH), primary_key=True),
    sa.Column("id", sa.String(UUID_LENGTH), nullable=False, unique=True),
    sa.Column("type", sa.String(32), nullable=False),
    sa.Column("attributes", sa.String(255), nullable=False),  # names, by comma; empty: all of it
    sa.Column("reason", sa.Text, nullable=False),
    sa.Column("created_at", sa.DateTime, nullable=False),
    sa.Column("changed_at", sa.DateTime, nullable=False),
)

#: Central: what happened, in the order in which it was recorded; `isthmus.store.delivery.event`.
EVENTS = sa.Table(
    "isthmus_events",
    METADATA,
    sa.Column("number", _BIG, primary_key=True, autoincrement=True),
    sa.Column("id", sa.String(UUID_LENGTH), nullable=False, unique=True),
    sa.Column("created_at", sa.DateTime, nullable=False, index=True),
    sa.Column("what", sa.String(32), nullable=False),
    sa.Column("site", sa.String(SITE_LENGTH), nullable=False),
    sa.Column("type", sa.String(32), nullable=False),
    sa.Column("resource_id", sa.String(UUID_LENGTH), nullable=False),
    sa.Column("who", sa.String(255), nullable=False),
    sa.Column("details", sa.Text, nullable=False),
    sa.Index("ix_isthmus_events_site", "site", "number"),
    sa.Index("ix_isthmus_events_object", "resource_id", "number"),
)

#: Central: comparisons of sites that somebody asked for, and the newest that were done;
#: `isthmus.store.delivery.renewal`.
RENEWALS = sa.Table(
    "isthmus_renewals",
    METADATA,
    sa.Column("id", sa.String(UUID_LENGTH), primary_key=True),
    sa.Column("site", sa.String(SITE_LENGTH), nullable=False, index=True),
    sa.Column("network_id", sa.String(UUID_LENGTH)),  # NULL: all that the site has
    sa.Column("state", sa.String(16), nullable=False, index=True),  # `isthmus.model.intent`
    # The worker that compares, and how long nobody else takes the request.
    sa.Column("owner", sa.String(64)),
    sa.Column("expires_at", sa.DateTime),
    sa.Column("pages", sa.Integer, nullable=False, default=0),
    sa.Column("noted", sa.Integer, nullable=False, default=0),
    sa.Column("last_error", sa.Text),
    sa.Column("created_at", sa.DateTime, nullable=False),
    sa.Column("ended_at", sa.DateTime),
)

#: Site: the key of each of its ports on a stretched network. A row whose `freed` is set holds a key
#: that was given back; its port_id is the former holder's. It may be used again once it has
#: `rested`: nobody has to hear of that port any more. `freed` counts within the network, so that no
#: clock says which key was given back last.
PORT_KEYS = sa.Table(
    "isthmus_port_keys",
    METADATA,
    sa.Column("port_id", sa.String(UUID_LENGTH), primary_key=True),
    sa.Column("network_id", sa.String(UUID_LENGTH), nullable=False),
    sa.Column("port_key", sa.Integer, nullable=False),
    sa.Column("freed", _BIG),
    sa.Column("rested", sa.Boolean, nullable=False, default=False),
    sa.UniqueConstraint("network_id", "port_key", name="uniq_isthmus_port_keys0key"),
    sa.Index("ix_isthmus_port_keys_freed", "network_id", "freed"),
)

#: Site: the ports of other sites on the networks that are present here.
SHADOWS = sa.Table(
    "isthmus_shadows",
    METADATA,
    sa.Column("port_id", sa.String(UUID_LENGTH), primary_key=True),
    sa.Column("network_id", sa.String(UUID_LENGTH), nullable=False),
    sa.Column("chassis", sa.String(HOST_LENGTH), nullable=False, index=True),
    sa.Column("port_key", sa.Integer, nullable=False),
    sa.Column("state", sa.Text, nullable=False),  # JSON, `Shadow.to_dict`
    sa.Index("ix_isthmus_shadows_key", "network_id", "port_key"),
)

#: Site: what central has decided of the exits of a router; `isthmus.store.local.exit_plan`.
EXITS = sa.Table(
    "isthmus_exits",
    METADATA,
    sa.Column("router_id", sa.String(UUID_LENGTH), primary_key=True),
    # JSON, `model.exits.plan_form`
    sa.Column("plan", sa.Text().with_variant(sa.Text(2**24 - 1), "mysql"), nullable=False),
    # of the transit network, which is part of the plan; NULL where there is none
    sa.Column("datapath_key", sa.Integer, index=True),
)

#: Site: by which hypervisors of other sites routers reach their instances there, where central has
#: said it; part of what `isthmus_exits` says, to be found by hypervisor.
EXIT_HYPERVISORS = sa.Table(
    "isthmus_exit_hypervisors",
    METADATA,
    sa.Column("router_id", sa.String(UUID_LENGTH), primary_key=True),
    sa.Column("site", sa.String(SITE_LENGTH), primary_key=True),
    sa.Column("chassis", sa.String(HOST_LENGTH), nullable=False, index=True),
    sa.Column("hostname", sa.String(HOST_LENGTH), nullable=False),
    sa.Column("encap_ip", sa.String(64), nullable=False),
)
