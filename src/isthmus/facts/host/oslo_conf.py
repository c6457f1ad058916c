"""Facts of Nova and Neutron: options as oslo.config reads them (oslo_config.iniparser)."""

import re
from collections.abc import Mapping, Sequence

from isthmus import errors
from isthmus.facts import cpuset
from isthmus.facts.dump import HostFacts
from isthmus.facts.fact import Elsewhere, Fact, Requires, options
from isthmus.model.host.nfv_layout import Layout

Options = Mapping[str, tuple[str, ...]]
#: Files of which only what `allow` names is taken.
NOVA_FILES = (
    "/etc/nova/nova.conf",
    "/etc/nova/nova-compute.conf",
    "/etc/nova/nova.conf.d/*.conf",
    "/etc/nova/nova-compute.conf.d/*.conf",
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
        (
            *("/etc/nova/nova.conf", "/etc/nova/nova-compute.conf"),
            # oslo.config's find_config_dirs: that of the project, then that of the program.
            *("/etc/nova/nova.conf.d/", "/etc/nova/nova-compute.conf.d/"),
        ),
        ("/etc/neutron/plugins/", "/etc/neutron/"),  # files first, then folders, which count
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


#: Old names of options that Nova still heeds beside the new ones (nova.conf.pci).
OLD_NAMES: Mapping[str, str] = {
    "pci/passthrough_whitelist": "pci/device_spec",
    "DEFAULT/pci_passthrough_whitelist": "pci/device_spec",
    "DEFAULT/pci_alias": "pci/alias",
}


def parse_ini(text: str) -> dict[str, tuple[str, ...]]:
    """Read oslo.config text as `section/option` -> values, in their order.

    A line that begins with a blank goes on with the option above; what separates an option from its
    value is the first equals sign or colon; a comment begins its line. Options by an old name are
    under the new one.
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
            key = OLD_NAMES.get(key, key)
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
    """Read Nova's effective options; None where no file of it was seen.

    Raises:
        Elsewhere: nova-compute runs, and no file of it was seen.
    """
    found = _read(seen, OPTION_FILES[find_layout(seen)][0])
    if found is None and _COMPUTE in seen.processes:
        raise Elsewhere(
            f"{_COMPUTE} runs, but its options are not where those of the layout "
            f"{find_layout(seen)} are: name another with --layout"
        )
    return found


def read_neutron(seen: HostFacts) -> Options | None:
    """Read the effective options of Neutron's agents; None where no file of them was seen."""
    return _read(seen, OPTION_FILES[find_layout(seen)][1])


def _read(seen: HostFacts, prefixes: Sequence[str]) -> Options | None:
    """Read configuration files joined in the order in which oslo.config reads them."""
    paths = [path for prefix in prefixes for path in sorted(seen.files) if path.startswith(prefix)]
    if not paths:
        return None
    # Each file begins anew, in DEFAULT and with no line to go on.
    return parse_ini("\n\n[DEFAULT]\n".join(seen.files[path] for path in dict.fromkeys(paths)))


def parse_nova_cpus(nova: Mapping[str, Sequence[str]], key: str) -> tuple[int, ...]:
    """Read a set of CPUs of Nova's; empty where it is not set, the last one where it is twice.

    Args:
        nova: `section/option` -> values, of a host or of a plan.
        key: such as `cpu_dedicated_set`, which is in `[compute]`, or `DEFAULT/vcpu_pin_set`.

    Raises:
        Invalid: it is no such set, and nova-compute does not start.

    Source:
        nova.virt.hardware, `parse_cpu_spec`: no strides.
    """
    values = nova.get(key if "/" in key else f"compute/{key}", ())
    text = values[-1].replace("\n", "") if values else ""
    cpus = cpuset.parse_list(text)
    if ":" in text or (text.strip(" ,") and not cpus):
        raise errors.Invalid(f"{text[:80]!r} is no set of CPUs that Nova reads, such as 2-7,^4")
    return cpus


def find_nova_cpus(nova: Mapping[str, Sequence[str]], key: str) -> tuple[int, ...]:
    """Find a set of CPUs of Nova's; empty also where Nova does not read it.

    Args:
        nova: `section/option` -> values.
        key: as `parse_nova_cpus` has it.
    """
    try:
        return parse_nova_cpus(nova, key)
    except errors.Invalid:
        return ()


#: The process that reads Nova's options on a compute host.
_COMPUTE = "nova-compute"
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
