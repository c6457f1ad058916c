"""What all rendered files share: their first line, oslo.config's form, and names of page sizes."""

from collections.abc import Mapping, Sequence

from isthmus.model.host.host_plan import HostPlan

HEAD = "# Written by Isthmus from the NFV plan of {host}; it will be replaced as a whole.\n"


def head(plan: HostPlan) -> str:
    """Return the first line of a file."""
    return HEAD.format(host=" ".join(plan.host.split()))


def with_head(plan: HostPlan, text: str) -> str:
    """Prepend the header line to a text."""
    return head(plan) + text


def page_size(kib: int) -> str:
    """Return the name of a page size as the kernel's line and mounts do."""
    if kib >= 1048576:
        return f"{kib // 1048576}G"
    return f"{kib // 1024}M" if kib >= 1024 else f"{kib}K"


def render_ini(options: Mapping[str, Sequence[str]]) -> str:
    """Write `section/option` -> values as an oslo.config file; several values repeat the option."""
    sections: dict[str, list[str]] = {}
    for key, values in options.items():
        section, _, option = key.partition("/")
        sections.setdefault(section, []).extend(f"{option} = {value}" for value in values)
    return "".join(f"\n[{name}]\n" + "\n".join(lines) + "\n" for name, lines in sections.items())
