"""An explanation as a picture: Mermaid, SVG, or a page that needs nothing else. Pure.

Places stand beside each other, layers below each other; lines go from each stage to what is made
of it. Whatever comes from rows is escaped: names belong to tenants.
"""

import html
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from isthmus.diagnose.explain.stage import Layer

Stage = Mapping[str, Any]
_LAYERS = [one.value for one in Layer]
_WIDTH, _GAP, _LINE, _PAD, _HEAD = 330, 40, 16, 8, 28
_LETTERS = 42  #: of a line in a box
_COLOURS = {"API": "#dbeafe", "northbound": "#dcfce7", "southbound": "#fef9c3", "flows": "#fde8d7",
            "tunnel": "#ede9fe", "tap": "#fce7f3"}  # fmt: skip
_MISSING = "#fecaca"


def list_links(stages: Sequence[Stage]) -> list[tuple[int, int]]:
    """List what is made of what: stages by their numbers.

    What central has leads to what sites have; within a place each stage leads to the next one; and
    what a site has leads to its hypervisors.
    """
    above = ((_find_above(stages, number), number) for number in range(len(stages)))
    return [(one, number) for one, number in above if one is not None]


def _find_above(stages: Sequence[Stage], number: int) -> int | None:
    """Find what a stage is made of: what comes last before it, at its place if there is any."""
    one = stages[number]
    layer = _LAYERS.index(one["layer"])
    found = [
        (other["place"] == one["place"], bool(other["site"]), at)
        for at, other in enumerate(stages[:number])
        if other["site"] in ("", one["site"]) and _LAYERS.index(other["layer"]) <= layer
    ]
    return max(found)[2] if found else None


def render_mermaid(document: Mapping[str, Any]) -> str:
    """Return a flowchart in Mermaid."""
    stages = document["stages"]
    lines = ["flowchart TB"]
    for number, (place, members) in enumerate(_group(stages)):
        lines.append(f'  subgraph p{number}["{_quote(place)}"]')
        lines += [f'    s{at}["{_quote(_title(stages[at]))}"]' for at in members]
        lines.append("  end")
    lines += [f"  s{one} --> s{other}" for one, other in list_links(stages)]
    missing = [f"s{at}" for at, one in enumerate(stages) if not one["is_there"]]
    if missing:
        lines.append(f"  classDef missing fill:{_MISSING}")
        lines.append(f"  class {','.join(missing)} missing")
    return "\n".join(lines) + "\n"


def _quote(text: str) -> str:
    """Write a text for a label in quotation marks: Mermaid has entities for what ends one."""
    return "".join(one if one.isalnum() or one in " .,:/()+_-" else f"#{ord(one)};" for one in text)


def _title(stage: Stage) -> str:
    return f"{stage['layer']}: {stage['what']}{'' if stage['is_there'] else ' MISSING'}"


def _group(stages: Sequence[Stage]) -> Iterator[tuple[str, list[int]]]:
    places: dict[str, list[int]] = {}
    for number, one in enumerate(stages):
        places.setdefault(one["place"], []).append(number)
    yield from places.items()


def render_svg(document: Mapping[str, Any]) -> str:
    """Return a drawing: a column a place, a row a layer."""
    stages = document["stages"]
    boxes, width, height = _lay_out(stages)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" '
        f'viewBox="0 0 {width} {height}" font-family="sans-serif" font-size="12">',
        f"<title>{html.escape(document['label'])}</title>",
    ]
    for column, (place, members) in enumerate(_group(stages)):
        of_site = stages[members[0]]["site"]
        label = place if of_site in ("", place) else f"{place} of {of_site}"
        x = _GAP + column * (_WIDTH + _GAP)
        parts.append(f'<text x="{x}" y="20" font-weight="bold">{html.escape(label)}</text>')
    for one, other in list_links(stages):
        (x1, y1, h1), (x2, y2, _) = boxes[one], boxes[other]
        parts.append(
            f'<line x1="{x1 + _WIDTH // 2}" y1="{y1 + h1}" x2="{x2 + _WIDTH // 2}" y2="{y2}" '
            'stroke="#64748b"/>'
        )
    for stage, (x, y, tall) in zip(stages, boxes, strict=True):
        colour = _COLOURS[stage["layer"]] if stage["is_there"] else _MISSING
        parts.append(
            f"<g><title>{html.escape(_title(stage))}</title>"
            f'<rect x="{x}" y="{y}" width="{_WIDTH}" height="{tall}" rx="4" '
            f'fill="{colour}" stroke="#475569"/>'
        )
        for number, line in enumerate(_lines(stage)):
            weight = ' font-weight="bold"' if number == 0 else ""
            at = y + _PAD + _LINE * (number + 1) - 4
            parts.append(f'<text x="{x + _PAD}" y="{at}"{weight}>{html.escape(line)}</text>')
        parts.append("</g>")
    return "\n".join([*parts, "</svg>"]) + "\n"


def _lay_out(stages: Sequence[Stage]) -> tuple[list[tuple[int, int, int]], int, int]:
    """Return x, y and height of each stage's box, and the size of the whole."""
    tall = [_PAD * 2 + _LINE * len(_lines(one)) for one in stages]
    groups = [members for _, members in _group(stages)]
    rows = [
        max((sum(tall[at] + _GAP // 2 for at in some if stages[at]["layer"] == layer)
             for some in groups), default=0)
        for layer in _LAYERS
    ]  # fmt: skip
    tops = [_HEAD + sum(rows[:at]) + _GAP * at for at in range(len(_LAYERS))]
    boxes = [(0, 0, 0)] * len(stages)
    for column, members in enumerate(groups):
        used = dict.fromkeys(_LAYERS, 0)
        for at in members:
            layer = stages[at]["layer"]
            y = tops[_LAYERS.index(layer)] + used[layer]
            used[layer] += tall[at] + _GAP // 2
            boxes[at] = (_GAP + column * (_WIDTH + _GAP), y, tall[at])
    height = max((y + h for _, y, h in boxes), default=_HEAD) + _GAP
    return boxes, _GAP + len(groups) * (_WIDTH + _GAP), height


def _lines(stage: Stage) -> list[str]:
    told = [_title(stage), *(f"{key}: {value}" for key, value in stage["facts"].items())]
    return [one if len(one) <= _LETTERS else f"{one[: _LETTERS - 1]}…" for one in told]


_STYLE = (
    "body{font-family:sans-serif;margin:2em;max-width:120em}svg{max-width:100%;height:auto}"
    "code{background:#f1f5f9;padding:.1em .3em;display:inline-block;white-space:pre-wrap}"
    "td,th{vertical-align:top;text-align:left;padding:.3em 1em .3em 0}.missing{color:#b91c1c}"
)


def render_html(document: Mapping[str, Any]) -> str:
    """Return a page with the drawing, and below it each stage with its commands."""
    label = html.escape(document["label"])
    rows = "".join(_row(one) for one in document["stages"])
    steps = "".join(
        f"<li>{html.escape(step['why'])}<br>{_codes(step)}</li>" for step in document["by_hand"]
    )
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        f"<title>{label}</title><style>{_STYLE}</style></head><body>"
        f"<h1>{label}</h1><p>As of {html.escape(document['as_of'])}.</p>"
        f"{render_svg(document)}<h2>How to see each</h2>"
        f"<table><tr><th>place</th><th>layer</th><th>what</th><th>command</th></tr>{rows}</table>"
        f"<h2>A bare copy by hand</h2><ol>{steps}</ol></body></html>\n"
    )


def _row(stage: Stage) -> str:
    facts = ", ".join(f"{key} {value}" for key, value in stage["facts"].items())
    mark = "" if stage["is_there"] else ' class="missing"'
    gone = "" if stage["is_there"] else " MISSING"
    cells = (html.escape(stage["place"]), html.escape(stage["layer"]))
    return (
        f"<tr{mark}><td>{cells[0]}</td><td>{cells[1]}</td><td>{html.escape(stage['what'])}{gone}"
        f"<br><small>{html.escape(facts)}</small></td><td>{_codes(stage)}</td></tr>"
    )


def _codes(holder: Mapping[str, Any]) -> str:
    return "<br>".join(f"<code>{html.escape(x['command'])}</code>" for x in holder["commands"])
