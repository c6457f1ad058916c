"""The file of a new cell: where its database and its queue are, and how far its making is.

nova-conductor reads it behind its own file; passwords are in it, so its owner alone may.
"""

import contextlib
import os
from pathlib import Path

from oslo_config import cfg

from isthmus import errors
from isthmus.model.compute.adding import CellServers, NewCell

SERVERS_FILE = Path("/etc/isthmus/cells.conf")
_SECTION = "isthmus_cell"
_SERVERS = "cell_servers"


class CellFile:
    """The file of one cell."""

    def __init__(self, path: Path) -> None:
        """Set where it is."""
        self.path = path

    def find(self) -> NewCell | None:
        """Read it; None where there is none.

        Raises:
            Invalid: it is not one that we wrote.
        """
        if not self.path.exists():
            return None
        conf = cfg.ConfigOpts()
        conf.register_opt(cfg.StrOpt("transport_url", secret=True))
        conf.register_opt(cfg.StrOpt("connection", secret=True), "database")
        options = [cfg.StrOpt(one) for one in ("name", "reached_from", "source")]
        conf.register_opts([*options, cfg.ListOpt("hosts", default=[])], _SECTION)
        _read(conf, self.path)
        own = conf[_SECTION]
        if not (own.name and conf.transport_url and conf.database.connection):
            raise errors.Invalid(f"{self.path}: this is not the file of a cell that was added")
        return NewCell(
            name=own.name,
            database=conf.database.connection,
            queue=conf.transport_url,
            reached_from=own.reached_from or "%",
            source=own.source or "",
            hosts=tuple(own.hosts),
        )

    def write(self, cell: NewCell) -> None:
        """Write it whole or not at all, for its owner alone to read.

        Raises:
            Invalid: that cannot be done there.
        """
        text = _render(cell)
        part = self.path.with_name(f".{self.path.name}.part")
        try:
            part.unlink(missing_ok=True)
            handle = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(handle, "w") as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
            part.replace(self.path)
        except OSError as error:
            with contextlib.suppress(OSError):
                part.unlink(missing_ok=True)
            raise errors.Invalid(f"{self.path}: {error.strerror}") from error

    def remove(self) -> None:
        """Remove it."""
        self.path.unlink(missing_ok=True)


def _render(cell: NewCell) -> str:
    lines = [
        "[DEFAULT]",
        f"transport_url = {cell.queue}",
        "[database]",
        f"connection = {cell.database}",
        f"[{_SECTION}]",
        f"name = {cell.name}",
        f"reached_from = {cell.reached_from}",
        f"source = {cell.source}",
        f"hosts = {','.join(cell.hosts)}",
        "",
    ]
    return "\n".join(lines).replace("$", "$$")  # $NAME is a reference for oslo.config


def read_cell_servers(path: Path, *, makes: bool = True) -> CellServers:
    """Read on which servers new cells are made, and who their administrators are.

    Args:
        path: of the file.
        makes: whether something is to be made; else only the queue's part is needed.

    Raises:
        Invalid: it cannot be read, or lacks something.
    """
    conf = cfg.ConfigOpts()
    options = [cfg.StrOpt(one, secret=True) for one in ("database", "queue", "queue_management")]
    conf.register_opts([*options, cfg.StrOpt("reached_from", default="%")], _SERVERS)
    _read(conf, path)
    own = conf[_SERVERS]
    for name in ("database", "queue", "queue_management"):
        if not own[name] and (makes or name != "database"):
            raise errors.Invalid(f"{path}: [{_SERVERS}] {name} is not set")
    return CellServers(
        database=own.database or "",
        queue=own.queue,
        management=own.queue_management,
        reached_from=own.reached_from,
    )


def _read(conf: cfg.ConfigOpts, path: Path) -> None:
    try:
        conf([], project="isthmus", default_config_files=[str(path)], default_config_dirs=[])
    except cfg.Error as error:
        # Its words may hold the line, and that a password.
        raise errors.Invalid(
            f"{path}: not as oslo.config reads it ({type(error).__name__})"
        ) from None
