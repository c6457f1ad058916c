"""Facts of Nova and Neutron: options as oslo.config reads them (oslo_config.iniparser)."""

import re
from collections.abc import Mapping, Sequence

from isthmus.facts import cpuset
from isthmus.facts.dump import HostFacts
from isthmus.facts.fact import Fact, Requires, options
from isthmus.model.host.nfv_layout import Layout

Options = Mapping[str, tuple[str, ...]]
#: Files of which only what `allow` names is taken.
NOVA_FILES = (
    "/etc/nova/nova.conf",
    "/etc/nova/nova-compute.conf",
    "/etc/nova/nova.conf.d/*.conf",
    "/etc/kolla/nova-compute/nova.conf",
    "/var/lib/config-data/puppet-generated/nova_libvirt/etc/nova/nova.conf",
    "/var/lib/openstack/config/nova/*.conf",
)
NEUTRON_FILES = (
    "/etc/neutron/neutron-*.conf.d/*.conf",
    "/etc/neutron/plugins/ml2/*_agent.ini",
    "/etc/kolla/neutron-openvswitch-agent/*.ini",
    "/etc/kolla/neutron-sriov-agent/*.ini",
    "/var/lib/config-data/puppet-generated/neutron/etc/neutron/plugins/ml2/*_agent.ini",
    "/var/lib/openstack/config/neutron-*-agent/*.conf",
)
#: Where each layout keeps Nova's and Neutron's options, in the order in which they are read.
OPTION_FILES: Mapping[Layout, tuple[tuple[str, ...], tuple[str, ...]]] = {
    Layout.PLAIN: (
        ("/etc/nova/nova.conf", "/etc/nova/nova-compute.conf", "/etc/nova/nova.conf.d/"),
        ("/etc/neutron/",),
    ),
    Layout.KOLLA: (
        ("/etc/kolla/nova-compute/nova.conf",),
        ("/etc/kolla/neutron-",),
    ),
    Layout.TRIPLEO: (
        ("/var/lib/config-data/puppet-generated/nova_libvirt/etc/nova/nova.conf",),
        ("/var/lib/config-data/puppet-generated/neutron/",),
    ),
    Layout.RHOSO: (
        ("/var/lib/openstack/config/nova/",),
        ("/var/lib/openstack/config/neutron-",),
    ),
}


def parse_ini(text: str) -> dict[str, tuple[str, ...]]:
    """Read oslo.config text as `section/option` -> values, in their order.

    A line that begins with a blank goes on with the option above; what separates an option from its
    value is the first equals sign or colon; a comment begins its line.
    """
    found: dict[str, tuple[str, ...]] = {}
    section, key = "DEFAULT", ""
    for line in text.splitlines():
        if not line.strip():
            key = ""
        elif line[0] in " \t":
            if key:
                *before, last = found[key]
                found[key] = (*before, f"{last}\n{line.strip()}")
        elif line[0] in "#;":
            continue
        elif line[0] == "[":
            section, key = line[1:].partition("]")[0].strip(), ""
        elif match := re.search("[=:]", line):
            key = f"{section}/{line[: match.start()].strip()}"
            found[key] = (*found.get(key, ()), _unquoted(line[match.end() :].strip()))
    return found


def _unquoted(value: str) -> str:
    quoted = len(value) > 1 and value[0] == value[-1] and value[0] in "\"'"
    return value[1:-1] if quoted else value


def find_layout(seen: HostFacts) -> Layout:
    """Return where the host keeps Nova and Open vSwitch, as the script found it."""
    said = seen.commands.get("layout", "").strip()
    return Layout(said) if said in set(Layout) else Layout.PLAIN


def read_nova(seen: HostFacts) -> Options | None:
    """Read Nova's effective options; None where no file of it was seen."""
    return parse_ini(_join(seen, OPTION_FILES[find_layout(seen)][0])) or None


def read_neutron(seen: HostFacts) -> Options | None:
    """Read the effective options of Neutron's agents; None where no file of them was seen."""
    return parse_ini(_join(seen, OPTION_FILES[find_layout(seen)][1])) or None


def _join(seen: HostFacts, prefixes: Sequence[str]) -> str:
    """Join configuration files in the order in which oslo.config reads them."""
    paths = [path for prefix in prefixes for path in sorted(seen.files) if path.startswith(prefix)]
    # Each file begins anew, in DEFAULT and with no line to go on.
    return "\n\n[DEFAULT]\n".join(seen.files[path] for path in dict.fromkeys(paths))


def parse_nova_cpus(nova: Mapping[str, Sequence[str]], key: str) -> tuple[int, ...]:
    """Read a set of CPUs of Nova's; empty where it is not set, the last one where it is twice.

    Args:
        nova: `section/option` -> values, of a host or of a plan.
        key: such as `cpu_dedicated_set`, which is in `[compute]`, or `DEFAULT/vcpu_pin_set`.
    """
    values = nova.get(key if "/" in key else f"compute/{key}", ())
    return cpuset.parse_list(values[-1].replace("\n", "")) if values else ()


NOVA = Fact(
    "nova",
    read_nova,
    tuple(map(options, NOVA_FILES)),
    Requires(package="Nova", privilege="root"),
)
NEUTRON = Fact(
    "neutron",
    read_neutron,
    tuple(map(options, NEUTRON_FILES)),
    Requires(package="an agent of Neutron's", privilege="root"),
)
FACTS = (NOVA, NEUTRON)
