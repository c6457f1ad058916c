"""What the script of facts writes: the form in which facts of a host are kept and passed on.

A dump is a text file that can be parsed later: a bug report with it can be replayed. It holds no
secret: see `allow`.
"""

import base64
import binascii
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from isthmus import errors

MAGIC = "# isthmus host facts 1"
END = "# end of facts"
#: Under which key the script writes how much it gathered, and what that is for everything.
DEPTH, WHOLE = "depth", "settings"


@dataclass(frozen=True, slots=True)
class HostFacts:
    """Everything that the script saw; nothing in it is interpreted."""

    files: Mapping[str, str] = field(default_factory=dict)  #: path -> content
    links: Mapping[str, str] = field(default_factory=dict)  #: path -> where it leads in the end
    commands: Mapping[str, str] = field(default_factory=dict)  #: key -> output, where it succeeded
    failures: Mapping[str, str] = field(default_factory=dict)  #: key -> why not
    unreadable: tuple[str, ...] = ()  #: paths that are there, and not for the collector's user

    @property
    def is_whole(self) -> bool:
        """Tell whether everything was gathered, not the hardware alone."""
        return self.commands.get(DEPTH, "").strip() == WHOLE

    @property
    def processes(self) -> frozenset[str]:
        """Return the names of the processes that run."""
        lines = (line.split("\t") for line in self.commands.get("threads", "").splitlines())
        return frozenset(parts[4] for parts in lines if len(parts) == 6)

    def link(self, path: str) -> str:
        """The last part of where a link leads; empty where there is none."""
        return self.links.get(path, "").rpartition("/")[2]

    def text(self, path: str) -> str:
        """The content of a file, stripped; empty where there is none."""
        return self.files.get(path, "").strip()

    def number(self, path: str) -> int | None:
        """A file that holds one number; None where it is missing or not one."""
        try:
            return int(self.text(path), 0)
        except ValueError:
            return None

    def matching(self, prefix: str, suffix: str) -> Iterator[tuple[str, str]]:
        """Return (what is between, content) for each file so named, in order."""
        for path in sorted(self.files):
            if path.startswith(prefix) and path.endswith(suffix):
                middle = path[len(prefix) : len(path) - len(suffix)]
                if middle and "/" not in middle:
                    yield middle, self.files[path]


def parse_facts(text: str) -> HostFacts:
    """Read the script's output.

    Raises:
        ProtocolError: it is something else, or ends early.
    """
    lines = text.splitlines()
    if not lines or lines[0].strip() != MAGIC:
        raise errors.ProtocolError(
            "these are no host facts: the first line is not theirs (isthmus nfv inspect HOST "
            "--facts gathers them)"
        )
    if lines[-1].strip() != END:
        raise errors.ProtocolError("the host facts end early; gather them again")
    files: dict[str, str] = {}
    links: dict[str, str] = {}
    commands: dict[str, str] = {}
    failures: dict[str, str] = {}
    unreadable: list[str] = []
    places = {"F": files, "L": links}
    for number, line in enumerate(lines[1:-1], start=2):
        kind, _, rest = line.partition(" ")
        key, _, body = rest.partition(" ")
        try:
            if kind == "U":
                unreadable.append(key)
            elif kind == "F64":
                files[key] = _decode(body)
            elif kind == "C64":
                status, _, encoded = body.partition(" ")
                (commands if status == "0" else failures)[key] = _decode(encoded)
            else:
                places[kind][key] = body
        except (KeyError, ValueError) as exc:
            raise errors.ProtocolError(f"line {number} of the host facts is garbled") from exc
    return HostFacts(files, links, commands, failures, tuple(unreadable))


def _decode(text: str) -> str:
    try:
        return base64.b64decode(text, validate=True).decode(errors="replace")
    except binascii.Error as exc:
        raise ValueError("base64") from exc
