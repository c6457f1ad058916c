"""What the DHCP client of a lab server reads: its configuration and the script it calls. Pure.

The client is Debian's dhclient, as in many a guest. Its usual script writes `/etc/resolv.conf`;
ours touches nothing outside the server's namespace and its own folder.
"""

from collections.abc import Sequence
from pathlib import Path

CONF = """\
option rfc3442-classless-static-routes code 121 = array of unsigned integer 8;
request subnet-mask, broadcast-address, rfc3442-classless-static-routes, routers, interface-mtu,
        domain-name, domain-name-servers, host-name, dhcp6.name-servers, dhcp6.domain-search;
initial-delay 0;
initial-interval 1;
backoff-cutoff 2;
retry 3;
timeout 60;
"""

SCRIPT = r"""#!/bin/sh
# Called by dhclient in a lab server's namespace; dhclient-script(8) tells the variables.
folder=$(dirname "$0")

# What the server's resolver is to read, a file for each version of IP.
name_servers() {
    {
        for domain in $new_domain_name $new_dhcp6_domain_search; do echo "search ${domain%.}"; done
        for server in $new_domain_name_servers $new_dhcp6_name_servers; do
            echo "nameserver $server"
        done
    } >"$folder/$LAB_SERVER.$1.resolv"
}

# Octets of RFC 3442: length of the prefix, its significant octets, the router.
classless_routes() {
    while [ $# -ge 5 ]; do
        length=$1; shift
        octets=$(((length + 7) / 8)); net=; count=0
        while [ $count -lt 4 ]; do
            if [ $count -lt $octets ]; then net=$net.$1; shift; else net=$net.0; fi
            count=$((count + 1))
        done
        router=$1.$2.$3.$4; shift 4
        if [ "$router" = 0.0.0.0 ]; then
            ip -4 route replace "${net#.}/$length" dev "$interface"
        else
            ip -4 route replace "${net#.}/$length" via "$router" dev "$interface" onlink
        fi
    done
}

case $reason in
    PREINIT | PREINIT6) ip link set "$interface" up ;;
    BOUND | RENEW | REBIND | REBOOT)
        [ -z "$new_interface_mtu" ] || ip link set "$interface" mtu "$new_interface_mtu"
        ip -4 addr replace "$new_ip_address/$new_subnet_mask" dev "$interface"
        if [ -n "$new_rfc3442_classless_static_routes" ]; then
            classless_routes $new_rfc3442_classless_static_routes
        else
            for router in $new_routers; do
                ip -4 route replace default via "$router" dev "$interface"
            done
        fi
        name_servers 4 ;;
    EXPIRE | FAIL | RELEASE | STOP)
        [ -z "$old_ip_address" ] ||
            ip -4 addr del "$old_ip_address/$old_subnet_mask" dev "$interface" ;;
    BOUND6 | RENEW6 | REBIND6)
        [ -z "$new_ip6_address" ] ||
            ip -6 addr replace "$new_ip6_address/$new_ip6_prefixlen" dev "$interface" nodad
        name_servers 6 ;;
    EXPIRE6 | RELEASE6 | STOP6)
        [ -z "$old_ip6_address" ] ||
            ip -6 addr del "$old_ip6_address/$old_ip6_prefixlen" dev "$interface" ;;
esac
exit 0
"""


def leases_file(folder: Path, server: str, mode: Sequence[str]) -> Path:
    """Return where a client keeps its leases."""
    return folder / f"{server}.{''.join(mode).replace('-', '')}.leases"


def resolv_files(folder: Path, server: str) -> list[Path]:
    """Return where clients write of whom a server asks for names: by IPv4, and by IPv6."""
    return [folder / f"{server}.{version}.resolv" for version in (4, 6)]


def with_resolver(file: Path, command: Sequence[str]) -> list[str]:
    """Return a command that has a file in the place of `/etc/resolv.conf`, and runs another.

    A server shares the machine's files, and would ask whom the machine asks.
    """
    script = 'mount --bind "$0" /etc/resolv.conf && exec "$@"'
    return ["unshare", "--mount", "sh", "-c", script, str(file), *command]


def client_command(folder: Path, server: str, link: str, mode: Sequence[str]) -> tuple[str, ...]:
    """Return the command of a client that stays in the foreground.

    Args:
        folder: holds `dhclient.conf` and `dhclient-script`.
        server: whose client it is.
        link: the interface.
        mode: `-4`, `-6` or `-6 -S`.
    """
    family = "".join(mode).replace("-", "")
    return (
        "dhclient",
        *mode,
        "-d",
        *("-cf", str(folder / "dhclient.conf")),
        *("-sf", str(folder / "dhclient-script")),
        *("-lf", str(leases_file(folder, server, mode))),
        *("-pf", str(folder / f"{server}.{family}.pid")),
        *("-e", f"LAB_SERVER={server}"),
        link,
    )
