"""The marker of a move: it stands in the service's disabled reason, where every operator sees it.

It fences the host, and it is the journal: who moves where, and what the service was before. Pure.
"""

from isthmus import errors
from isthmus.model.compute.move import HostMove, Phase

_BEGINS = "moved by isthmus"
#: What Nova's column holds.
_MOST = 255
_NO_REASON = "-"


def render_marker(move: HostMove) -> str:
    """Write the marker of a move.

    Raises:
        Invalid: the reason that the service is disabled for is too long to stand in it.
    """
    before = "disabled" if move.was_disabled else "enabled"
    reason = _NO_REASON if move.reason is None else f"={move.reason}"
    text = f"{_BEGINS}: {move.source} to {move.target}, {before} before {reason}"
    if len(text) > _MOST:
        raise errors.Invalid(
            f"the reason that {move.host} is disabled for has {len(move.reason or '')} "
            f"characters, {len(text) - _MOST} too many to be kept: shorten it first"
        )
    return text


def parse_marker(host: str, text: str | None, phase: Phase = Phase.FENCED) -> HostMove | None:
    """Read a marker; None where it is none.

    Args:
        host: whose it is.
        text: the disabled reason.
        phase: that the move is in.
    """
    if text is None or not text.startswith(f"{_BEGINS}: "):
        return None
    cells, _, rest = text.removeprefix(f"{_BEGINS}: ").partition(", ")
    source, _, target = cells.partition(" to ")
    before, _, reason = rest.partition(" before ")
    return HostMove(
        host=host,
        source=source,
        target=target,
        was_disabled=before == "disabled",
        reason=None if reason == _NO_REASON else reason.removeprefix("="),
        phase=phase,
    )
