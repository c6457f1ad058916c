"""Files of oslo.config, as oslo.config itself reads them (oslo_config.iniparser)."""

import re


def parse_ini(text: str) -> dict[str, tuple[str, ...]]:
    """Read oslo.config text as `section/option` -> values, in their order.

    A line that begins with a blank goes on with the option above; what separates an option from its
    value is the first equals sign or colon; a comment begins its line.
    """
    found: dict[str, tuple[str, ...]] = {}
    section, key = "DEFAULT", ""
    for line in text.splitlines():
        if not line.strip():
            key = ""
        elif line[0] in " \t":
            if key:
                *before, last = found[key]
                found[key] = (*before, f"{last}\n{line.strip()}")
        elif line[0] in "#;":
            continue
        elif line[0] == "[":
            section, key = line[1:].partition("]")[0].strip(), ""
        elif match := re.search("[=:]", line):
            key = f"{section}/{line[: match.start()].strip()}"
            found[key] = (*found.get(key, ()), _unquoted(line[match.end() :].strip()))
    return found


def _unquoted(value: str) -> str:
    quoted = len(value) > 1 and value[0] == value[-1] and value[0] in "\"'"
    return value[1:-1] if quoted else value
