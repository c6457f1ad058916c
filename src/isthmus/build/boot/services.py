"""Configuration of dnsmasq and nginx.

Reservations for every machine and a large table of TFTP transfers are what a boot storm needs: of
800 clients at once dnsmasq served 350 with its defaults, and all 800 with these and paced
power-ons.
"""

import ipaddress
from collections.abc import Sequence

from isthmus.build.boot.place import NBP_BIOS, NBP_UEFI, START, Place
from isthmus.model.rack.fleet import Network, Site
from isthmus.model.rack.machine import Machine

#: Transfers at a time; dnsmasq's default is 50.
TFTP_MOST = 1000
#: A lease outlives an installation; a machine that came back asks anew anyway.
LEASE = "2h"
#: RFC 4578, client system architecture: EFI BC, EFI x86-64, and EFI x86-64 by HTTP.
EFI_X64 = (7, 9, 16)


def render_dnsmasq(place: Place, sites: Sequence[Site], machines: Sequence[Machine]) -> str:
    """Write dnsmasq's configuration: DHCP for known machines only, TFTP for boot programs."""
    builder = place.builder
    lines = [
        "# Written by isthmus build; changes are overwritten.",
        "port=0",
        f"interface={builder.interface}",
        "bind-dynamic",
        "no-hosts",
        "no-resolv",
        "dhcp-authoritative",
        f"dhcp-lease-max={2 * len(machines) + 100}",
        f"dhcp-leasefile={place.state / 'dnsmasq.leases'}",
        f"dhcp-hostsfile={place.dnsmasq_hosts}",
        f"log-facility={place.state / 'dnsmasq.log'}",
        "quiet-dhcp",
        "enable-tftp",
        f"tftp-root={place.tftp}",
        f"tftp-max={TFTP_MOST}",
        "dhcp-match=set:ipxe,175",
        *(f"dhcp-match=set:efi,option:client-arch,{number}" for number in EFI_X64),
        f"dhcp-boot=tag:!ipxe,tag:!efi,{NBP_BIOS}",
        f"dhcp-boot=tag:!ipxe,tag:efi,{NBP_UEFI}",
        f"dhcp-boot=tag:ipxe,{place.url}/boot/{START}",
    ]
    for site in sites:
        network = next(one for one in site.networks if one.name == site.provisioning)
        lines += _render_network(site.name, network)
    if builder.router_prefix:
        prefix = ipaddress.ip_network(builder.router_prefix)
        lines += ["enable-ra", f"dhcp-range={prefix.network_address},ra-only"]
    return "\n".join(lines) + "\n"


def _render_network(site: str, network: Network) -> list[str]:
    cidr = ipaddress.ip_network(network.cidr)
    lines = [f"dhcp-range=set:{site},{cidr.network_address},static,{cidr.netmask},{LEASE}"]
    # Without a value: none is sent, where dnsmasq would name itself.
    lines.append(f"dhcp-option=tag:{site},option:router,{network.gateway or ''}".rstrip(","))
    lines.append(f"dhcp-option=tag:{site},option:dns-server,{','.join(network.dns)}".rstrip(","))
    if network.mtu != 1500:
        lines.append(f"dhcp-option=tag:{site},option:mtu,{network.mtu}")
    return lines


def render_reservations(machines: Sequence[Machine]) -> str:
    """Write dnsmasq's reservations, one machine a line."""
    return "".join(f"{one.mac},{one.address},{one.name},{LEASE}\n" for one in machines)


def render_nginx(place: Place, *, user: str) -> str:
    """Write nginx's configuration: files by itself, questions of machines handed on.

    Args:
        place: where everything is.
        user: whose rights its workers have, as `user` takes it; empty: those of its own user.
    """
    state = place.state
    temporary = "\n".join(
        f"  {kind}_temp_path {state}/nginx;"
        for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    return f"""\
# Written by isthmus build; changes are overwritten.
daemon off;
{f"user {user};" if user else ""}
worker_processes auto;
worker_rlimit_nofile 8192;
pid {state}/nginx.pid;
error_log {state}/nginx.log warn;
events {{ worker_connections 4096; }}
http {{
  access_log off;
  server_tokens off;
  sendfile on;
  tcp_nopush on;
  default_type application/octet-stream;
{temporary}
  server {{
    listen {place.builder.address}:{place.builder.http_port} backlog=4096;
    location /images/ {{ alias {place.images}/; }}
    location /boot/ {{ alias {place.boot}/; }}
    location /api/ {{
      client_max_body_size 64k;
      proxy_pass http://unix:{place.socket};
      proxy_set_header X-Machine $remote_addr;
    }}
    location / {{ return 404; }}
  }}
}}
"""
