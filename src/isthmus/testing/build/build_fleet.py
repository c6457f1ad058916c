"""Fleet files for tests: a small sound one, and one of any size."""

SMALL = """\
builder: {address: 192.0.2.1, interface: eth0}
images:
- name: debian
  file: debian.raw
  sha256: 0000000000000000000000000000000000000000000000000000000000000001
  size_mib: 620
disks:
- {name: plain, device: /dev/vda, root_gib: 20}
roles:
- {name: control, least: 3}
- {name: compute, least: 1}
services:
  mariadb: [control]
  keystone: [control]
  nova-compute: [compute]
defaults: {image: debian, disks: plain, bmc: {user: admin, secret: bmc}}
sites:
- name: north
  provisioning: boot
  ha: {controllers: 3, vip: 192.0.2.5}
  networks:
  - {name: boot, cidr: 192.0.2.0/24, pool: 192.0.2.20-192.0.2.99, gateway: 192.0.2.254}
  - {name: store, cidr: 198.51.100.0/25, vlan: 20}
  racks:
  - name: r1
    nodes:
    - {name: c1, mac: 52:54:00:00:00:01, roles: [control], bmc: {address: 203.0.113.1}}
    - {name: c2, mac: 52:54:00:00:00:02, roles: [control], bmc: {address: 203.0.113.2}}
  - name: r2
    nodes:
    - {name: c3, mac: 52:54:00:00:00:03, roles: [control], bmc: {address: 203.0.113.3}}
    - {name: n1, mac: 52:54:00:00:00:11, roles: [compute], bmc: {address: 203.0.113.11}}
"""


def make_fleet(nodes: int, *, per_rack: int = 40, limits: str = "") -> str:
    """Write a fleet file of three controllers and any number of compute nodes."""
    head, _, _ = SMALL.partition("sites:")
    lines = [head.rstrip(), f"limits: {{{limits}}}" if limits else "limits: {}"]
    lines += [
        "sites:",
        "- name: north",
        "  provisioning: boot",
        "  ha: {controllers: 3, vip: 192.18.0.5}",
        "  networks:",
        "  - {name: boot, cidr: 192.18.0.0/16, pool: 192.18.1.0-192.18.200.0}",
        "  racks:",
    ]
    for number in range(nodes + 3):
        rack = number // per_rack
        if number % per_rack == 0:
            lines += [f"  - name: r{rack}", "    nodes:"]
        # Spread over racks, where there are three.
        is_first = number < 3 if nodes + 3 <= 2 * per_rack else number % per_rack == 0 and rack < 3
        role = "control" if is_first else "compute"
        mac = f"52:54:01:{number >> 16:02x}:{number >> 8 & 255:02x}:{number & 255:02x}"
        bmc = f"203.0.{100 + number // 250}.{number % 250}"
        lines.append(
            f"    - {{name: n{number}, mac: '{mac}', roles: [{role}], bmc: {{address: {bmc}}}}}"
        )
    return "\n".join(lines).replace("192.0.2.1,", "192.18.0.1,") + "\n"
