"""What a deployer's program for nova-compute does, in a word: Nova takes it for up or down.

    python tests/cells/hook.py NOVA_CONF stop|start HOST CELL

It ends with an error for `stop` of a host that the file `refuses` beside NOVA_CONF names.
"""

import sys
from collections.abc import Sequence
from pathlib import Path


def main(words: Sequence[str]) -> int:
    conf, verb, host, cell = Path(words[0]), *words[1:]
    refuses = conf.with_name("refuses")
    if verb == "stop" and refuses.exists() and host in refuses.read_text():
        sys.stderr.write(f"{host} does not answer\n")
        return 4
    with conf.with_name("calls").open("a") as file:
        file.write(f"{verb} {host} {cell}\n")
    if verb == "stop":
        return 0
    # To be quick where it can be: it runs hundreds of times.
    import sqlalchemy as sa

    from isthmus.config.nova import read_nova
    from isthmus.store.nova.mappings import collect_cells

    where = read_nova([conf])
    cells = collect_cells(where.api, where.template, 10)
    (url,) = [one.database for one in cells if one.cell.name == cell]
    engine = sa.create_engine(url)
    later = (
        "datetime(max(coalesce(last_seen_up, created_at, '2000-01-01'), CURRENT_TIMESTAMP), "
        "'+1 second')"
        if engine.dialect.name == "sqlite"
        else "greatest(coalesce(last_seen_up, created_at), utc_timestamp()) + INTERVAL 1 SECOND"
    )
    raw = engine.raw_connection()  # nothing of it is a change of the command's
    cursor = raw.cursor()
    cursor.execute(
        f"UPDATE services SET last_seen_up = {later} WHERE host = '{host}' AND deleted = 0"
    )
    assert cursor.rowcount == 1, f"{host} is not in {cell}"
    raw.commit()
    raw.close()
    engine.dispose()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
