"""Facts of virtual functions, and of the switch inside each port.

Source: ip-link(8), devlink-dev(8), ethtool(8).
"""

from dataclasses import dataclass

from isthmus.facts.dump import HostFacts
from isthmus.facts.fact import Fact, Requires, command


@dataclass(frozen=True, slots=True)
class Function:
    """One virtual function, as its physical one has it; None where the driver does not say."""

    nic: str
    number: int
    spoof_check: bool | None
    trusted: bool | None


@dataclass(frozen=True, slots=True)
class Functions:
    """The virtual functions of a host."""

    each: tuple[Function, ...]
    eswitch: dict[str, tuple[str, str]]  #: name of a port -> mode of its switch, tc offload


def parse_functions(text: str) -> tuple[tuple[Function, ...], dict[str, tuple[str, str]]]:
    """Read what the facts script wrote of virtual functions, and of the switch in each port."""
    said = {"on": True, "off": False}
    functions: list[Function] = []
    eswitch: dict[str, tuple[str, str]] = {}
    for words in map(str.split, text.splitlines()):
        if words[:1] == ["vf"] and len(words) == 5 and words[2].isdigit():
            spoof, trust = said.get(words[3]), said.get(words[4])
            functions.append(Function(words[1], int(words[2]), spoof, trust))
        elif words[:1] == ["switch"] and len(words) == 4:
            eswitch[words[1]] = (words[2], words[3])
    return tuple(functions), eswitch


def parse(seen: HostFacts) -> Functions:
    """Read what the function of gather.sh wrote."""
    return Functions(*parse_functions(seen.commands["functions"]))


FUNCTIONS = Fact(
    "functions",
    parse,
    (command("functions", "functions"),),
    Requires(package="iproute2", privilege="root"),
    sample="vf eth0 0 on off\nswitch eth0 legacy off\n",
)
FACTS = (FUNCTIONS,)
