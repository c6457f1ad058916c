"""Words of OVN's rows, and what is known of a site's OVN, as values.

Only the rows that Isthmus marks as its own are ever changed or removed, with one exception: the
tunnel keys of stretched networks and of the site's own ports on them, which Neutron's rows carry.
"""

from dataclasses import dataclass

#: The greatest port key; 15 bits, the 16th marks multicast groups (OVN_MAX_KEY in ovn-util.h).
LAST_PORT_KEY = 32_767
#: Of the one port by which a provider network is on its site's fabric; never leased.
LOCALNET_KEY = LAST_PORT_KEY

#: external_ids keys of rows that are ours.
SHADOW_MARK = "isthmus:shadow"  #: on a switch port and on a chassis; value: network id, or "yes"
SITE_MARK = "isthmus:site"
PORT_MARK = "isthmus:port"  #: on what hangs on a switch port of ours; value: its name
TRANSIT_MARK = "isthmus:transit"  #: on rows of a transit network; value: router id
#: On routes, policies, translations, load balancers and limits; value: router id.
EXITS_MARK = "isthmus:router"
NETWORK_MARK = "isthmus:network"  #: on limits, beside the other; value: external network's id
FORWARD_MARK = "isthmus:floating_ip"  #: on load balancers, beside the other; value: its id

SWITCH_PREFIX = "neutron-"  #: Neutron names a network's switch so
ROUTER_PREFIX = "neutron-"  #: and a router
TRANSIT_PREFIX = "isthmus-transit-"  #: names of rows of a transit network; then the router's id
FORWARD_PREFIX = "isthmus-forward-"  #: names of load balancers; then the router's id
KEY_OPTION = "requested-tnl-key"
CHASSIS_OPTION = "requested-chassis"
REVISION = "neutron:revision_number"  #: in external_ids of Neutron's rows
REMOTE_FLAG = "is-remote"  #: in Chassis.other_config
#: What answers beside ovn-controller for Open vSwitch is called so in a site's holdings.
SWITCH = "Open vSwitch"
#: external_ids key of Chassis_Private under which the answer of its program stands.
SWITCH_KEY = "isthmus:switch"


@dataclass(frozen=True, slots=True, kw_only=True)
class Capability:
    """What the OVN of a site can do; older versions need more of us."""

    version: str  #: of northd, "" while it is not known
    binds_remote: bool  #: northd binds a remote port to its requested chassis
    shadow_limit: int | None  #: most shadow ports one network may have


@dataclass(frozen=True, slots=True, kw_only=True)
class LocalChassis:
    """A hypervisor of this site."""

    name: str
    hostname: str
    encap_ips: tuple[str, ...]  #: Geneve first


@dataclass(frozen=True, slots=True, kw_only=True)
class Binding:
    """What SB says of a port."""

    tunnel_key: int
    chassis: str  #: "" while it is not bound


@dataclass(frozen=True, slots=True, kw_only=True)
class RaSubnet:
    """An IPv6 subnet of a stretched network whose addresses need advertisements."""

    network_id: str
    cidr: str
    ra_mode: str  #: Neutron's ipv6_ra_mode
    mtu: int  #: of the network
    routed: bool  #: a Neutron router has a port in it and advertises


#: A database that has owed an answer so long, in seconds, is away; others may owe theirs for that.
AWAY_S = 5.0
