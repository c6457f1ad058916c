"""The script that gathers facts, made of the sources that the facts name.

It is plain POSIX shell and awk, reads only, and needs nothing installed, so that the same client
works for a live host, over ssh and inside a ramdisk.
"""

import shlex
from importlib import resources

from isthmus.facts import allow, registry
from isthmus.facts.dump import DEPTH, END, MAGIC, WHOLE
from isthmus.facts.fact import How, Source
from isthmus.model.host.nfv_layout import Layout


def render_script(*, root: str = "", settings: bool = False, layout: Layout | None = None) -> str:
    """Write the shell script that gathers facts.

    Args:
        root: a folder in front of every path, for a tree that was copied from elsewhere.
        settings: gather how the host is set up too, not only what it is made of.
        layout: where the host keeps Nova and Open vSwitch; None: found by the script.
    """
    lines = [render_functions(root=root, layout=layout), f"echo '{MAGIC}'; find_layout"]
    facts = registry.HOST if settings else registry.HARDWARE
    sources = dict.fromkeys(source for fact in facts for source in fact.sources)
    # The commands of a host know nothing of a tree that was copied from another one.
    lines += [_render(source) for source in sources if not (root and source.key)]
    lines.append('echo "$L" | b C64 layout 0')
    lines.append(f"echo {WHOLE if settings else 'hardware'} | b C64 {DEPTH} 0")
    lines.append(f"echo '{END}'")
    return "\n".join(lines) + "\n"


def _render(source: Source) -> str:
    if source.how is How.FUNCTION:
        return f'o=$({source.what}); s=$?; printf "%s\\n" "$o" | b C64 {source.key} $s'
    if source.key:
        return f"{source.how.value} {source.key} {shlex.quote(source.what)}"
    return f'for p in "$R"{source.what}; do {source.how.value} "$p"; done'


def render_functions(*, root: str = "", layout: Layout | None = None) -> str:
    """Write the shell functions that gather facts, and what they go by; they do nothing yet."""
    values = {
        "R": root,
        "L": str(layout or ""),
        "INI": " ".join(allow.OPTIONS),
        "WORDS": " ".join(allow.KERNEL_WORDS),
        "ELEMENTS": " ".join(allow.ELEMENTS),
        "KEYS": " ".join(allow.OVS_KEYS),
    }
    lines = [f"{name}={shlex.quote(value)}" for name, value in values.items()]
    return "\n".join([*lines, resources.files(__package__).joinpath("gather.sh").read_text()])
