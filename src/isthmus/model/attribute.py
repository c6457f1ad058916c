"""Attributes of ours in the state of an item: what central and a site say beside Neutron's own.

Each is named here alone, with who sends it and the form of its value; both ends import it. They
stand among Neutron's attributes of the object, as `binding:host_id` does among those of a port.
"""

from typing import Final

#: What the name of each begins with.
PREFIX: Final = "isthmus:"

#: Central, of networks: the tunnel key of its logical switch; None where it has none.
DATAPATH_KEY: Final = f"{PREFIX}datapath_key"
#: Central, of networks, groups, address groups and QoS policies: RBAC rows that share it (`id`,
#: `target_project`, `action`).
RBAC: Final = f"{PREFIX}rbac"
#: Central, of networks and subnets: the leases that the site has, each as an item of type lease is.
LEASES: Final = f"{PREFIX}leases"
#: Central, of leases: what the site is asked to give back (`first`, `last`, `count`).
RECALL: Final = f"{PREFIX}recall"
#: Central, of ports: true where the site has to report the port anew.
STALE: Final = f"{PREFIX}stale"
#: Both, of ports: the last state on which both tiers agreed; None where there is none.
BASE: Final = f"{PREFIX}base"
#: A site, of its ports: chassis, host name, tunnel address, port key; None where it is not bound.
LOCATION: Final = f"{PREFIX}location"
#: Both, of ports: ids of the subnets of which the port has an automatic (SLAAC) address.
AUTO_SUBNETS: Final = f"{PREFIX}auto_subnets"
#: Both, of routers: their ports on networks that they join (`id`, `network_id`, `mac_address`,
#: `fixed_ips`, `admin_state_up`, `name`), in the order of ids.
INTERFACES: Final = f"{PREFIX}interfaces"
#: Both, of routers: what is decided of the router's instance at the site, a `SitePlan` in the form
#: of `model.exits.plan_form`; None, or missing, where nothing is.
EXITS: Final = f"{PREFIX}exits"
#: Both, of routers: the gateway port whose seat is at the site (`id`, `network_id`, `mac_address`,
#: `fixed_ips` in the order of subnet and address, `enable_snat`); None where the site has none.
GATEWAY: Final = f"{PREFIX}gateway"
