"""What a process of the lab is: how to start it, and how to tell that it answers."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Self

from isthmus.lab.process.zygote import Birth


@dataclass(frozen=True, slots=True, kw_only=True)
class Program:
    """One process. It has either a command of its own or is born of the zygote."""

    name: str  #: `<tier or host>.<service>`, as `isthmus lab logs` and `kill` know it
    netns: str
    log: Path
    argv: tuple[str, ...] = ()
    birth: Birth | None = None
    url: str = ""  #: answers HTTP here once it is up
    socket: str = ""  #: this unix socket is there once it is up
    empties: str = ""  #: folder to empty before each start
    env: Mapping[str, str] = field(default_factory=dict)

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON form, for the ledger."""
        return {**asdict(self), "log": str(self.log)}

    @classmethod
    def from_dict(cls, body: Mapping[str, Any]) -> Self:
        """Read the JSON form."""
        birth = Birth(**body["birth"]) if body["birth"] else None
        fixed = {"log": Path(body["log"]), "argv": tuple(body["argv"]), "birth": birth}
        return cls(**{**body, **fixed})
