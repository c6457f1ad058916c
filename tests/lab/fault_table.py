"""The fault matrix: states that are brought about in a lab, and what an operator is to read then.

`tools/write_faults` writes the page of it, docs/reference/faults.md.
"""

from collections.abc import Iterator
from dataclasses import KW_ONLY, dataclass, replace

from tests.lab.fault import Fault
from tests.lab.fault_twice import CONTRADICTIONS


@dataclass(frozen=True, slots=True)
class Process:
    """A process of the lab, and what is said of it when it is dead or hangs."""

    name: str
    code: str = ""
    place: str = "site1"
    status: str = ""
    _: KW_ONLY
    away: str = ""
    gap: str = ""
    printed: bool = True  #: whether the remedy is a command
    hangs: tuple[str, str] = ("", "")  #: code and status where it hangs, if they are others then


#: Each of them is killed, and stopped as one that hangs.
PROCESSES = (
    Process("central.xjob", "site.not_served", "central", "No Xjob runs"),
    Process("central.neutron", away="central", printed=False),
    Process("central.keystone", away="Keystone", printed=False),
    Process("site1.neutron", "site.not_audited", "site1", "site1 is not reachable"),
    Process(
        "site1.keystone",
        "site.not_audited",
        "site1",
        "site1 is not reachable|Whether site1 gives out addresses is not known",
    ),
    Process("site1.nb", "ovn.northbound.silent", "site1", "northbound database does not answer"),
    Process("site1.sb", "ovn.southbound.silent", "site1", "southbound database does not answer"),
    Process("site1.northd", "ovn.northd.silent", "site1", "northd does not answer"),
    Process("site1-h1.controller", "ovn.controller.silent", "site1", "does not answer on site1-h1"),
    # Packets of the lab's hypervisors to the southbound database go through their own switch, which
    # carries none without its database; tests/ovn/test_switch_answer.py has them go another way.
    Process("site1-h1.vswitchd", "ovn.controller.silent", "site1", "does not answer on site1-h1"),
    Process(
        "site1-h1.ovsdb",
        "ovn.controller.silent",
        "site1",
        "does not answer on site1-h1",
        hangs=("ovn.vswitch.silent", "ovsdb-server does not answer on site1-h1"),
    ),
    Process(
        "site1-h1.answer",
        "ovn.vswitch.silent",
        "site1",
        "Open vSwitch, or who asks it there, does not answer on site1-h1",
    ),
    Process(
        "site1.maintenance",
        "neutron.maintenance.silent",
        "site1",
        "maintenance worker does not answer",
    ),
)

_RESYNC = ("isthmus site resync site1",)
#: Rows of the site's OVN, deleted or changed, and the finding: the resync writes them.
_ROWS = (
    ("shadow port deleted", "nb site1 --if-exists lsp-del {b}", "ovn.shadow_port.differs"),
    (
        "key of a shadow port changed",
        "nb site1 set Logical_Switch_Port {b} options:requested-tnl-key=9999",
        "ovn.shadow_port.differs",
    ),
    (
        "addresses of a shadow port changed",
        "nb site1 lsp-set-addresses {b} 02:00:00:00:00:09",
        "ovn.shadow_port.differs",
    ),
    (
        "shadow port taken out of its security group",
        "nb site1 remove Port_Group {port_group} ports {b_row}",
        "ovn.group_member.missing",
    ),
    (
        "key of the site's own port changed",
        "nb site1 set Logical_Switch_Port {a} options:requested-tnl-key=9998",
        "ovn.port_key.differs",
    ),
    (
        "key of a switch changed",
        "nb site1 set Logical_Switch neutron-{network} other_config:requested-tnl-key=9997",
        "ovn.switch_key.differs",
    ),
    ("responder deleted", "nb site1 --if-exists lsp-del {responder}", "ovn.responder.differs"),
    (
        "tunnel end of another site's hypervisor changed",
        "sb site1 set Encap {encap} ip=192.0.2.99",
        "ovn.remote_chassis.differs",
    ),
)
#: Rows of Neutron's in OVN: its maintenance worker writes them, within five minutes.
_NEUTRON_ROWS = (
    ("switch deleted", "nb site1 --if-exists ls-del neutron-{network}", "network.no_switch"),
    ("port deleted in OVN", "nb site1 --if-exists lsp-del {a}", "port.no_switch_port"),
    (
        "addresses of a port changed in OVN",
        "nb site1 lsp-set-addresses {a} 02:00:00:00:00:08",
        "port.switch_port_addresses",
    ),
)
#: Rows of the site's Neutron database: the resync compares them with central's.
_SITE_SQL = (
    ("shadow forgotten", "DELETE FROM isthmus_shadows WHERE port_id = '{b}'", "shadow.missing"),
    (
        "shadow changed",
        "UPDATE isthmus_shadows SET state = replace(state, '{b_encap}', '192.0.2.98') "
        "WHERE port_id = '{b}'",
        "shadow.different",
    ),
    (
        "MTU of a network changed",
        "UPDATE networks SET mtu = 1300 WHERE id = '{network}'",
        "network.different",
    ),
    (
        "gateway of a subnet changed",
        "UPDATE subnets SET gateway_ip = '10.91.0.77' WHERE id = '{subnet}'",
        "subnet.different",
    ),
    (
        "rule of a security group deleted",
        "DELETE FROM securitygrouprules WHERE id = '{rule}'",
        "security_group.different",
    ),
    (
        "device of a port changed",
        "UPDATE ports SET device_id = 'another' WHERE id = '{a}'",
        "port.different",
    ),
)


def _list_process_faults() -> Iterator[Fault]:
    for one in PROCESSES:
        start, kill = f"isthmus lab start {one.name}", f"isthmus lab kill {one.name}"
        dead = Fault(
            name=f"{one.name} killed",
            inject=(f"kill {one.name}",),
            code=one.code,
            place=one.place,
            status=one.status,
            away=one.away,
            heals=(start,) if one.printed else (),
            by_hand=(start,),
            gap=one.gap,
        )
        yield dead
        yield replace(
            dead,
            name=f"{one.name} hangs",
            inject=(f"stop {one.name}",),
            code=one.hangs[0] or one.code,
            status=one.hangs[1] or one.status,
            heals=(kill, start) if one.printed else (),
            by_hand=(kill, start),
        )


def _list_row_faults() -> Iterator[Fault]:
    for name, step, code in _ROWS:
        yield Fault(name=name, inject=(step,), code=code, heals=_RESYNC)
    for name, step, code in _NEUTRON_ROWS:
        yield Fault(name=name, inject=(step,), code=code, heals=_RESYNC, within_s=420)
    for name, text, code in _SITE_SQL:
        yield Fault(name=name, inject=(f"sql site1 {text}",), code=code, heals=_RESYNC)


#: Whatever has files open below a site's databases, in the order in which it is started.
_ON_DISK = ("keystone", "nb", "sb", "northd", "neutron", "maintenance")

_OTHERS = (
    Fault(
        name="hypervisor of another site deleted",
        inject=("sb site1 --if-exists chassis-del site2-h1",),
        code="ovn.remote_chassis.differs",
        heals=_RESYNC,
        again="sb site1 get Chassis site2-h1 encaps",
    ),
    Fault(
        name="ovn-controller ended in order",
        inject=(
            "sh site1-h1 ovn-appctl -t $(ls -t $OVN_RUNDIR/ovn-controller.*.ctl | head -1) exit",
        ),
        code="ovn.controller.gone",
        heals=("isthmus lab start site1-h1.controller",),
    ),
    Fault(
        name="link of a site cut",
        inject=("isthmus lab link cut site1",),
        code="site.not_reachable",
        place="central",
        status="site1 is not reachable",
        heals=("isthmus lab link restore site1",),
    ),
    Fault(
        name="site cannot reach central",
        inject=("sh site1 ip rule add to {central} ipproto tcp dport 9696 blackhole",),
        code="site.cannot_report",
        status="central does not answer the site",
        by_hand=("sh site1 ip rule del to {central} ipproto tcp dport 9696",),
    ),
    Fault(
        name="database of a site locked",
        inject=("lock site1",),
        code="site.cannot_write",
        status="site's database takes no writes",
        by_hand=("unlock site1",),
    ),
    Fault(
        name="database of central locked",
        inject=("lock central",),
        code="site.not_served",
        place="central",
        status="No Xjob runs, or none gets on",
        by_hand=("unlock central",),
    ),
    Fault(
        name="disk of a site full",
        inject=("fill site1",),
        code="site.cannot_write",
        status="site's database takes no writes",
        by_hand=("empty site1",),
    ),
    Fault(
        name="disk of a site full, and OVN on it",
        inject=("fill site1",),
        code="ovn.northbound.silent",
        status="northbound database does not answer",
        by_hand=("empty site1",),
    ),
    Fault(
        name="disk of central full",
        inject=("fill central",),
        code="site.not_served",
        place="central",
        status="No Xjob runs, or none gets on",
        by_hand=("empty central",),
    ),
    Fault(
        name="file system of a site read-only",
        inject=("fail site1",),
        code="site.cannot_write",
        status="site's database takes no writes",
        by_hand=(
            *(f"isthmus lab kill site1.{name}" for name in _ON_DISK),
            "mend site1",
            *(f"isthmus lab start site1.{name}" for name in _ON_DISK),
        ),
    ),
    Fault(
        name="clock of central set back while Xjob is dead",
        inject=(
            "kill central.xjob",
            "sql central UPDATE isthmus_sites SET last_seen_at = datetime('now', '+2 hours')",
        ),
        code="site.not_served",
        place="central",
        status="looks after site1 cannot be told",
        by_hand=("isthmus lab start central.xjob",),
    ),
    Fault(
        name="site disabled",
        inject=("isthmus site disable site1",),
        code="site.not_audited",
        status="disabled: site1",
        heals=("isthmus site enable site1",),
    ),
    Fault(
        name="stranger on a switch",
        inject=("nb site1 --may-exist lsp-add neutron-{network} {stranger}",),
        code="port.unknown_switch_port",
        heals=("nb site1 lsp-del {stranger}",),
    ),
    Fault(
        name="key of a port outside the site's leases",
        inject=("sql site1 UPDATE isthmus_port_keys SET port_key = 9996 WHERE port_id = '{a}'",),
        code="port.key_not_leased",
        by_hand=(
            "sql site1 UPDATE isthmus_port_keys SET port_key = {a_key} WHERE port_id = '{a}'",
            *_RESYNC,
        ),
    ),
    Fault(
        name="key of a network changed at a site",
        inject=(
            "sql site1 UPDATE isthmus_datapaths SET datapath_key = 9995 "
            "WHERE network_id = '{network}'",
        ),
        code="network.datapath_key",
        by_hand=(
            "sql site1 UPDATE isthmus_datapaths SET datapath_key = {network_key} "
            "WHERE network_id = '{network}'",
            *_RESYNC,
        ),
    ),
    Fault(
        name="lease forgotten at central",
        inject=("sql central DELETE FROM isthmus_leases WHERE id = '{lease}'",),
        code="lease.unknown",
        heals=("isthmus lease return site1 {lease}",),
    ),
    Fault(
        name="location of a port changed at central",
        inject=(
            "sql central UPDATE isthmus_locations SET encap_ip = '192.0.2.97' "
            "WHERE port_id = '{b}'",
        ),
        code="port.location",
        place="site2",
        heals=("isthmus site resync site2",),
    ),
    Fault(
        name="home of a port forgotten at central",
        inject=("sql central DELETE FROM isthmus_site_mappings WHERE resource_id = '{a}'",),
        code="port.extra",
        heals=_RESYNC,
    ),
    Fault(
        name="location of a port forgotten at central",
        inject=("sql central DELETE FROM isthmus_locations WHERE port_id = '{a}'",),
        code="port.location",
        heals=_RESYNC,
    ),
    Fault(
        name="rules of a security group cleared in OVN",
        inject=("nb site1 acl-del {port_group}",),
        code="security_group.no_acl",
        heals=_RESYNC,
        within_s=420,
    ),
    Fault(
        name="DHCP options of a port cleared",
        inject=("nb site1 clear Logical_Switch_Port {a} dhcpv4_options",),
        code="port.no_dhcp",
        heals=_RESYNC,
        within_s=420,
    ),
)

#: States in which all goes on, and which need no name.
BORNE: tuple[Fault, ...] = (
    *(
        Fault(
            name=f"{name} {how}",
            inject=(f"{verb} {name}",),
            by_hand=(f"isthmus lab kill {name}", f"isthmus lab start {name}")
            if verb == "stop"
            else (f"isthmus lab start {name}",),
            borne="it keeps what Keystone has said of tokens: without it Neutron asks Keystone for "
            "each call, and after a wait of seconds asks one that hangs no more",
        )
        for name in ("central.memcached", "site1.memcached")
        for how, verb in (("killed", "kill"), ("hangs", "stop"))
    ),
    Fault(
        name="hypervisor of a port changed in OVN",
        inject=("nb site1 set Logical_Switch_Port {a} options:requested-chassis=elsewhere",),
        by_hand=("nb site1 set Logical_Switch_Port {a} options:requested-chassis=site1-h1",),
        packets="a {b_address}",
        borne="OVN takes the port from its hypervisor and tells Neutron that it is down, which "
        "writes the row again within a second; a port that is not up has no such event, and its "
        "row is `port.other_hypervisor`",
    ),
)

FAULTS: tuple[Fault, ...] = (
    *_list_process_faults(),
    *_list_row_faults(),
    *_OTHERS,
    *CONTRADICTIONS,
)
