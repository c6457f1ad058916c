"""What a dump may hold: tables by who was asked, columns of each, and the form of each value.

A column that is not here is in no dump: descriptions, tags, what guests are given at boot, keys of
tunnels, DHCP options, connections of databases. A new column is a review, not a formality.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from isthmus.diagnose.dump.keep import (
    Keep,
    dhcp_options,
    flag,
    keys,
    line,
    number,
    optional,
    port_or_word,
    row,
    said,
    some,
    text,
    tree,
    word,
    words_by_word,
)
from isthmus.diagnose.world import Row, Source

Columns = Mapping[str, Keep]


def _words(*names: str) -> dict[str, Keep]:
    return dict.fromkeys(names, word)


_FIXED = some(row(_words("subnet_id", "ip_address")))
_PORT: Columns = {
    **_words("id", "network_id", "project_id", "status", "mac_address", "device_owner", "device_id",
             "binding:host_id", "binding:vif_type", "qos_policy_id", "qos_network_policy_id"),
    "name": text, "admin_state_up": flag, "port_security_enabled": flag, "fixed_ips": _FIXED,
    "security_groups": some(word),
    "allowed_address_pairs": some(row(_words("ip_address", "mac_address"))),
}  # fmt: skip
_NETWORK: Columns = {
    **_words("id", "project_id", "qos_policy_id"), "name": text, "mtu": number,
    "admin_state_up": flag, "shared": flag, "router:external": flag,
    "availability_zone_hints": some(word), "ipv4_address_scope": word, "ipv6_address_scope": word,
}  # fmt: skip
_ROUTES = some(row(_words("destination", "nexthop")))
_SUBNET: Columns = {
    **_words("id", "network_id", "cidr", "gateway_ip"), "ip_version": number, "enable_dhcp": flag,
    "host_routes": _ROUTES, "ipv6_address_mode": word,
}  # fmt: skip
_RULE: Columns = {
    **_words("id", "direction", "ethertype", "remote_ip_prefix", "normalized_cidr",
             "remote_group_id", "remote_address_group_id", "security_group_id"),
    "protocol": port_or_word, "port_range_min": number, "port_range_max": number,
}  # fmt: skip
_GROUP: Columns = {
    **_words("id", "project_id"), "name": text, "stateful": flag,
    "security_group_rules": some(row(_RULE)),
}  # fmt: skip
_JOB: Columns = {
    **_words("id", "site", "type", "resource_id", "state"), "last_error": said,
}  # fmt: skip
#: Names of the fields of `router-exits`, at any depth.
_EXIT = tree(
    "id", "site", "sites", "state", "is_reachable", "exits", "4", "6", "way", "network_id",
    "next_hop", "lack", "gateway_network_id", "routes", "purpose", "destination", "policies",
    "source", "inside", "only", "floating_ip_id", "snats", "external", "internal", "floating",
    "port_id", "at_home", "mac", "forwarded", "forwarding_id", "protocol", "outside", "answers",
    "replies", "first", "last", "transit", "datapath_key", "port_key", "addresses", "prefixes",
    "peers", "hypervisor", "chassis", "hostname", "encap_ip", "cidr", "mac_address", "fixed_ips",
    "subnet_id", "ip_address", "enable_snat", "address", "fixed_address", "home", "idle", "ports",
    "fixed_ports",
)  # fmt: skip
_PLAN: Columns = {
    "id": word, "name": text,
    **dict.fromkeys(("subnets", "gateways", "floating_ips", "forwardings", "sites"), _EXIT),
}  # fmt: skip
_LEFT: Columns = {
    **_words("id", "network_id"),
    "subnet_ip_availability": some(row({
        **_words("subnet_id", "cidr"), "total_ips": number, "used_ips": number,
    })),
}  # fmt: skip
_CENTRAL: Mapping[str, Columns] = {
    "site": {**_words("id", "name", "region", "state", "reachability"),
             "last_seen_at": line, "last_error": said},
    "port": _PORT, "network": _NETWORK, "subnet": _SUBNET, "security_group": _GROUP,
    "address_group": {"id": word, "name": text, "addresses": some(word)},
    "router": {
        **_words("id", "project_id"), "name": text, "admin_state_up": flag, "routes": _ROUTES,
        "external_gateway_info": row(
            {"network_id": word, "enable_snat": flag, "external_fixed_ips": _FIXED}
        ),
    },
    "floatingip": _words("id", "floating_ip_address", "floating_network_id", "router_id",
                         "port_id", "fixed_ip_address", "status", "project_id"),
    "site_presence": {**_words("id", "network_id", "site"), "withdrawn": flag,
                      "datapath_key": number},
    "site_mapping": {**_words("id", "type", "resource_id", "site"), "withdrawn": flag},
    "site_job": _JOB,
    "site_refusal": {**_words("id", "site", "type", "resource_id"), "reason": said},
    "router_exit": _PLAN,
    "clock": {"ahead_s": number},
    "network_ip_availability": _LEFT,
    "rbac_policy": _words("id", "object_type", "object_id", "action", "target_tenant"),
    "quota_detail": {**_words("id", "project_id", "resource"), "limit": number, "used": number,
                     "reserved": number},
    "qos_policy": {"id": word, "rules": some(row({
        **_words("id", "type", "direction"), "max_kbps": number, "max_kpps": number}))},
    "server": {"name": text, "port_id": word},
}  # fmt: skip
_NEUTRON: Mapping[str, Columns] = {
    "port": _PORT, "network": _NETWORK, "subnet": _SUBNET, "security_group": _GROUP,
    "site_shadow": {**_words("id", "network_id", "site", "chassis", "mac_address"),
                    "port_key": number, "addresses": some(word)},
    "clock": {"ahead_s": number},
    "network_ip_availability": _LEFT,
    "agent": {**_words("id", "host", "binary"), "agent_type": line, "alive": flag,
              "heartbeat_timestamp": line},
    "router_agent": {**_words("id", "router_id", "host", "ha_state"), "alive": flag},
}  # fmt: skip
_LSP_OPTIONS = keys(
    "requested-chassis", "requested-tnl-key", "router-port", "network_name", "mcast_flood",
    "mcast_flood_reports", "nat-addresses", "exclude-lb-vips-from-garp", "arp_proxy", "virtual-ip",
    "virtual-parents", "localnet_learn_fdb",
)  # fmt: skip
_MARKS = keys("isthmus:*", "neutron:network_name", "neutron:revision_number",
              "neutron:security_group_rule_id", "neutron:security_group_id")  # fmt: skip
_REFS = some(word)
_NB: Mapping[str, Columns] = {
    "NB_Global": dict.fromkeys(("nb_cfg", "sb_cfg", "hv_cfg", "nb_cfg_timestamp"), number),
    "server": {**_words("model"), "leader": flag, "connected": flag},
    "Logical_Switch": {**_words("_uuid", "name"), "acls": _REFS, "ports": _REFS,
                       "dns_records": _REFS,
                       "other_config": keys("requested-tnl-key", "mcast_snoop", "vlan-passthru")},
    "Logical_Switch_Port": {
        **_words("_uuid", "name"), "type": line, "enabled": optional(flag), "up": optional(flag),
        "options": _LSP_OPTIONS, "addresses": some(line), "port_security": some(line),
        "dhcpv4_options": optional(word), "external_ids": _MARKS,
        "parent_name": optional(word), "tag": optional(number),
    },
    "DHCP_Options": {**_words("_uuid", "cidr"), "options": dhcp_options},
    "Port_Group": {**_words("_uuid", "name"), "ports": _REFS, "acls": _REFS},
    "ACL": {**_words("_uuid", "direction", "action"), "priority": number, "match": text,
            "external_ids": _MARKS},
    "Address_Set": {"name": word, "addresses": some(word)},
    "Logical_Router": {
        **_words("_uuid", "name"), "enabled": optional(flag),
        **dict.fromkeys(("ports", "nat", "static_routes", "policies", "load_balancer"), _REFS),
    },
    "Logical_Router_Port": {
        **_words("_uuid", "name", "mac"), "networks": some(word), "enabled": optional(flag),
        "gateway_chassis": _REFS, "ha_chassis_group": optional(word),
        "options": keys("gateway_mtu", "reside-on-redirect-chassis", "redirect-type",
                        "requested-tnl-key"),
        "ipv6_ra_configs": keys("address_mode", "send_periodic"),
    },
    "Logical_Router_Static_Route": {**_words("_uuid", "ip_prefix", "nexthop"),
                                    "policy": optional(word), "external_ids": _MARKS},
    "NAT": {**_words("_uuid", "type", "external_ip", "logical_ip"), "external_mac": optional(word),
            "logical_port": optional(word), "external_ids": _MARKS},
    "Logical_Router_Policy": {**_words("_uuid", "action"), "priority": number, "match": text,
                              "nexthops": some(word), "external_ids": _MARKS},
    "Load_Balancer": {**_words("_uuid", "name"), "protocol": optional(word),
                      "vips": words_by_word, "external_ids": _MARKS},
    "HA_Chassis_Group": {**_words("_uuid", "name"), "ha_chassis": _REFS},
    "HA_Chassis": {**_words("_uuid", "chassis_name"), "priority": number},
    "Gateway_Chassis": {**_words("_uuid", "name", "chassis_name"), "priority": number},
}  # fmt: skip
_CHASSIS_KEYS = keys("is-remote", "ovn-bridge-mappings", "ovn-cms-options", "ovn-monitor-all",
                     "isthmus:*")  # fmt: skip
_SB: Mapping[str, Columns] = {
    "server": {**_words("model"), "leader": flag, "connected": flag},
    "SB_Global": {"nb_cfg": number, "options": keys("northd_internal_version")},
    "Chassis": {**_words("_uuid", "name", "hostname"), "other_config": _CHASSIS_KEYS,
                "external_ids": _CHASSIS_KEYS},
    "Encap": _words("_uuid", "chassis_name", "ip", "type"),
    "Chassis_Private": {"name": word, "nb_cfg": number, "nb_cfg_timestamp": number,
                        "chassis": optional(word),
                        "external_ids": keys("neutron:ovn-metadata-sb-cfg")},
    "Port_Binding": {
        **_words("_uuid", "logical_port", "datapath"), "type": line, "tunnel_key": number,
        "chassis": optional(word), "up": optional(flag), "options": _LSP_OPTIONS,
    },
    "Datapath_Binding": {"_uuid": word, "tunnel_key": number},
    "Address_Set": {"name": word, "addresses": some(word)},
    "MAC_Binding": _words("_uuid", "logical_port", "ip", "mac"),
    "FDB": {**_words("_uuid", "mac"), "dp_key": number, "port_key": number},
    "Service_Monitor": {**_words("_uuid", "logical_port", "ip"), "protocol": optional(word),
                        "port": number, "status": optional(word)},
    "BFD": _words("_uuid", "logical_port", "dst_ip", "status"),
}  # fmt: skip
_HOST: Mapping[str, Columns] = {
    "Open_vSwitch": {
        "ovs_version": optional(word),
        "external_ids": keys("ovn-is-interconn", "ovn-encap-ip", "ovn-encap-type",
                             "ovn-bridge-mappings", "ovn-cms-options", "ovn-monitor-all",
                             "system-id", "ovn-match-northd-version"),
    },
    "Interface": {
        "name": word, "type": line,
        "external_ids": keys("iface-id", "attached-mac", "ovn-installed", "ovn-chassis-id"),
        "options": keys("remote_ip", "local_ip", "csum", "peer"), "ofport": optional(number),
        "error": optional(said), "admin_state": optional(word), "link_state": optional(word),
        "mtu": optional(number), "bfd_status": keys("state", "forwarding", "flap_count"),
    },
    "daemon": {**_words("name", "version"), "state": said, "said": said},
    "bridge": {"name": word, "interfaces": some(word), "ofports": some(number)},
    "counter": {"name": word, "value": number},
    "log": {**_words("daemon", "what"), "count": number, "last": said},
    "console": {**_words("port"), "count": number, "last": said},
    "certificate": {**_words("path", "not_after"), "days": number},
    "tracked": {**_words("port", "protocol", "source", "target"), "target_port": number},
    "neighbour": _words("router_id", "ip", "mac"),
    "bridge_flow": {**_words("bridge", "mac"), "count": number, "outputs": some(number)},
    "conntrack": {"count": number, "most": number},
    "route": {**_words("to", "dev"), "mtu": number},
    "flow": {"match": text, "count": number},
}  # fmt: skip
TABLES: Mapping[Source, Mapping[str, Columns]] = {
    Source.CENTRAL: _CENTRAL,
    Source.NEUTRON: _NEUTRON,
    Source.NB: _NB,
    Source.SB: _SB,
    Source.HOST: _HOST,
}


def keep_rows(source: Source, table: str, rows: Sequence[Any]) -> list[Row]:
    """Keep of some rows what a dump may hold.

    Args:
        source: who was asked.
        table: of them; one that is in `TABLES`.
        rows: as they were read.
    """
    keep = row(TABLES[source][table])
    return [found for one in rows if (found := keep(one))]
