"""Files that a person names on the command line."""

from pathlib import Path

from isthmus import errors


def read_text(path: Path) -> str:
    """Read a file that a person named.

    Raises:
        NotFound: it is not there.
        Invalid: it cannot be read as text.
    """
    try:
        return path.read_text()
    except FileNotFoundError as exc:
        raise errors.NotFound(f"there is no file {path}") from exc
    except (OSError, UnicodeDecodeError) as exc:
        raise errors.Invalid(f"{path} cannot be read as text: {exc}") from exc
