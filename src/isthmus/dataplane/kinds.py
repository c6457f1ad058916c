"""The kinds of OVN rows that Isthmus keeps, in the order in which they are read and written.

What a row refers to comes before it: hypervisors before the ports on them, ports before their
groups and bindings. Removals run the other way. To add a kind, write its file, put it here, and
give its cases in `tests/ports/row_kinds`.
"""

from typing import Any, Final

from isthmus.dataplane.kind.binding import BINDING
from isthmus.dataplane.kind.dns_name import DNS_NAME
from isthmus.dataplane.kind.exits.exit_nat import EXIT_NAT
from isthmus.dataplane.kind.exits.exit_qos import EXIT_QOS
from isthmus.dataplane.kind.exits.exit_route import EXIT_ROUTE
from isthmus.dataplane.kind.exits.forward import FORWARD
from isthmus.dataplane.kind.exits.return_policy import RETURN_POLICY
from isthmus.dataplane.kind.exits.transit_network import TRANSIT_NETWORK
from isthmus.dataplane.kind.exits.transit_peer import TRANSIT_PEER
from isthmus.dataplane.kind.group_member import GROUP_MEMBER
from isthmus.dataplane.kind.port_key import PORT_KEY
from isthmus.dataplane.kind.remote_chassis import REMOTE_CHASSIS
from isthmus.dataplane.kind.responder import RESPONDER
from isthmus.dataplane.kind.shadow_port import SHADOW_PORT
from isthmus.dataplane.kind.switch_key import SWITCH_KEY
from isthmus.dataplane.row_kind import Kind

KINDS: Final[tuple[Kind[Any, Any], ...]] = (
    REMOTE_CHASSIS,
    SWITCH_KEY,
    PORT_KEY,
    SHADOW_PORT,
    GROUP_MEMBER,
    RESPONDER,
    DNS_NAME,
    BINDING,
    TRANSIT_NETWORK,
    TRANSIT_PEER,
    EXIT_ROUTE,
    RETURN_POLICY,
    EXIT_NAT,
    FORWARD,
    EXIT_QOS,
)
