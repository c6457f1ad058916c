"""The services of a site, by the names that a fleet file places them with."""

#: Those that keep a majority: an even number of members survives no more than one fewer would.
QUORUM_SERVICES = ("mariadb", "ovn-central", "rabbitmq")
#: Those that only the central tier has, where there is one, and those that only sites have.
CENTRAL_SERVICES = frozenset({"keystone", "isthmus-xjob", "horizon"})
SITE_SERVICES = frozenset(
    {
        "ovn-central",
        "ovn-controller",
        "placement",
        "glance",
        "nova-api",
        "nova-conductor",
        "nova-scheduler",
        "nova-compute",
        "rabbitmq",
    }
)
#: In the order in which they are brought up: what needs another comes after it.
SERVICES = (
    "chrony",
    "haproxy",
    *QUORUM_SERVICES,
    "memcached",
    "keystone",
    "placement",
    "glance",
    "neutron-server",
    "isthmus-xjob",
    "nova-api",
    "nova-conductor",
    "nova-scheduler",
    "ovn-controller",
    "nova-compute",
    "horizon",
    "monitoring",
)
