"""A fact: what is gathered for it, how that is parsed, and what a host needs to have for it."""

import enum
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Generic, TypeVar

from typing_extensions import override

from isthmus import errors
from isthmus.facts.dump import HostFacts

Value = TypeVar("Value")


class How(enum.Enum):
    """How the script gathers one source; the value is the shell function that does it."""

    FILE = "f"  #: files whole
    LINK = "l"  #: where links lead
    OPTIONS = "ini"  #: files of oslo.config, the options on `allow.OPTIONS`
    WORDS = "line"  #: words of a kernel line, those on `allow.KERNEL_WORDS`
    DOMAIN = "domain"  #: libvirt's records, the elements on `allow.ELEMENTS`
    COMMAND = "c"  #: what a command writes
    ROWS = "r"  #: rows of Open vSwitch's database, the keys on `allow.OVS_KEYS`
    FUNCTION = "b"  #: what a function of gather.sh writes


@dataclass(frozen=True, slots=True)
class Source:
    """One thing that the script gathers."""

    how: How
    what: str  #: a glob of paths, a command, or a function of gather.sh
    key: str = ""  #: of a command: what its output is called in the facts


def file(pattern: str) -> Source:
    """Gather files whole: nothing secret may be in them."""
    return Source(How.FILE, pattern)


def link(pattern: str) -> Source:
    """Gather where links lead."""
    return Source(How.LINK, pattern)


def options(pattern: str) -> Source:
    """Gather the allowed options of oslo.config files."""
    return Source(How.OPTIONS, pattern)


def words(pattern: str) -> Source:
    """Gather the allowed words of kernel lines."""
    return Source(How.WORDS, pattern)


def command(key: str, text: str) -> Source:
    """Gather what a command writes; $X before it runs it where Open vSwitch is."""
    return Source(How.COMMAND, text, key)


def rows(key: str, table: str, columns: str) -> Source:
    """Gather columns of a table of Open vSwitch's database, never the whole table."""
    text = f"$X ovs-vsctl --timeout=5 --format=json --columns={columns} list {table}"
    return Source(How.ROWS, text, key)


def function(name: str) -> Source:
    """Gather what a function of gather.sh writes, under its own name."""
    return Source(How.FUNCTION, name, name)


class Why(enum.StrEnum):
    """Why a fact is absent."""

    NOT_GATHERED = "not gathered"  #: the facts are older, or from less than a whole host
    NOT_INSTALLED = "not installed"
    NOT_RUNNING = "not running"
    NOT_PERMITTED = "not permitted"
    OUT_OF_REACH = "out of reach"  #: it runs, but its tools are not where the collector looks
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Absent:
    """A fact that could not be read."""

    why: Why
    detail: str  #: one sentence

    @property
    def is_nothing_there(self) -> bool:
        """Tell whether there is nothing of the kind on the host, and so nothing to check."""
        return self.why in {Why.NOT_INSTALLED, Why.NOT_RUNNING}

    @override
    def __str__(self) -> str:
        return self.detail


@dataclass(frozen=True, slots=True)
class Requires:
    """What a host must have for a fact to be read."""

    package: str = ""  #: what has to be installed, as people call it
    daemon: str = ""  #: the process that has to run
    privilege: str = ""  #: whom the collector has to run as


class Elsewhere(ValueError):
    """What a fact is about runs, but keeps its files where nobody looked."""


#: What parsing raises over a text that is of no form of its kind; anything else is a bug of ours.
_GARBLED = (ValueError, errors.Invalid, errors.ProtocolError)
_DENIED = re.compile(r"[Pp]ermission denied|[Oo]peration not permitted|must be root")
_NO_SUCH = re.compile(r"No such file or directory")
_SOCKET = re.compile(r"\.(sock|ctl|pid)\b")
_REFUSED = re.compile(r"[Cc]onnection refused|[Cc]annot connect|[Ff]ailed to connect")


@dataclass(frozen=True, slots=True)
class Fact(Generic[Value]):
    """One fact of a host."""

    name: str
    parse: Callable[[HostFacts], Value | None]  #: pure; None where what was gathered has none
    sources: tuple[Source, ...]  #: a command that is first decides whether the fact is there
    requires: Requires = Requires()
    failure_tells: bool = False  #: parse where the command fails too: its failure says something
    sample: str = ""  #: what the first command writes on a healthy host, for tests

    def read(self, seen: HostFacts) -> Value | Absent:
        """Read the fact, or say why it is absent; half of what may not all be read is no fact."""
        key = self.sources[0].key
        if self.requires.privilege and not key and (denied := self._denied(seen)):
            return denied
        if key and key not in seen.commands:
            absent = self._explain(seen, key)
            if not (self.failure_tells and absent.why in {Why.NOT_RUNNING, Why.FAILED}):
                return absent
        try:
            value = self.parse(seen)
        except Elsewhere as exc:
            return Absent(Why.OUT_OF_REACH, str(exc))
        except _GARBLED as exc:
            said = str(exc)[:120]
            return Absent(Why.FAILED, f"{self.name} is garbled in the facts ({said})")
        return self._explain(seen, key) if value is None else value

    def parse_output(self, text: str) -> Value:
        """Parse what the first command would have written.

        Raises:
            ValueError: no command is first, or this is no output of it.
        """
        value = self.parse(HostFacts(commands={self.sources[0].key: text}))
        if value is None:
            raise ValueError(f"no fact {self.name} in {text!r}")
        return value

    def _explain(self, seen: HostFacts, key: str) -> Absent:
        said = seen.failures.get(key, "").strip()
        last = said.splitlines()[-1] if said else ""
        if said:
            return _classify(last, self.requires, seen.processes)
        if denied := self._denied(seen):
            return denied
        if seen.is_whole and not key:
            what = self.requires.package or self.name
            return Absent(Why.NOT_INSTALLED, f"{what} is not installed: no file of it is there")
        return Absent(Why.NOT_GATHERED, f"the facts hold no {self.name}: gather them again")

    def _denied(self, seen: HostFacts) -> Absent | None:
        """Return that a file of the fact may not be read; None where all that are there may."""
        denied = [path for path in seen.unreadable if self._wants(path)]
        root = f": run the collector as {self.requires.privilege or 'root'}"
        return Absent(Why.NOT_PERMITTED, f"{denied[0]} cannot be read{root}") if denied else None

    def _wants(self, path: str) -> bool:
        return any(
            not one.key and path.startswith(one.what.partition("*")[0]) for one in self.sources
        )


def _classify(said: str, requires: Requires, processes: frozenset[str]) -> Absent:
    """Return why a command failed, from its last line of output."""
    package = requires.package or "what it asks"
    if _DENIED.search(said):
        whom = f": run the collector as {requires.privilege or 'root'}"
        return Absent(Why.NOT_PERMITTED, f"not permitted ({said}){whom}")
    missing = "not found" in said or (
        bool(requires.package and _NO_SUCH.search(said)) and not _SOCKET.search(said)
    )
    if missing and requires.daemon in processes:
        return Absent(
            Why.OUT_OF_REACH, f"{requires.daemon} runs, but its tools are not found ({said})"
        )
    if missing:
        return Absent(Why.NOT_INSTALLED, f"{package} is not installed ({said})")
    if requires.daemon and (_NO_SUCH.search(said) or _REFUSED.search(said)):
        return Absent(Why.NOT_RUNNING, f"{requires.daemon} does not run ({said})")
    return Absent(Why.FAILED, f"it failed ({said})")


def read_all(
    facts: tuple[Fact[object], ...], seen: HostFacts
) -> tuple[Mapping[str, object], Mapping[str, Absent]]:
    """Read many facts.

    Returns:
        The values of those that are there, by name, and why the others are not.
    """
    values: dict[str, object] = {}
    absent: dict[str, Absent] = {}
    for one in facts:
        value = one.read(seen)
        if isinstance(value, Absent):
            absent[one.name] = value
        else:
            values[one.name] = value
    return values, absent
