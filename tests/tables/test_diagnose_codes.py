"""Every code of the diagnosis is brought about by a table of some test."""

import re
from pathlib import Path

from tests.tables.machine_faults import ALL
from tests.tables.more_faults import BEHIND
from tests.tables.routed_faults import CASES
from tests.tables.test_diagnose import BLOCKED, DEGRADED, N1, put
from tests.tables.world import A, ask, healthy

ROOM = Path(__file__).resolve().parents[2] / "src/isthmus/diagnose/check"
#: Nothing else in that room is two words with a dot.
_CODE = re.compile(r'"([a-z_]+(?:\.[a-z_]+)+)"')
#: Codes that are no first blocker of a table alone; each has a test that asks for it by its name.
BY_NAME = {
    "acl.extra",
    "acl.not_understood",
    "host.system_id_twice",
    "lrp.no_advertisement",
    "lrp.other_advertisement",
    "lsp.not_disabled",
    "port.spoofed_address",
    "route.through_server",
}


def test_every_code_has_a_case() -> None:
    codes = {code for file in ROOM.rglob("*.py") for code in _CODE.findall(file.read_text())}
    cases = {*BLOCKED, *DEGRADED, *CASES, *ALL, *BEHIND}
    assert codes - cases == BY_NAME
    names = ("test_diagnose", "test_diagnose_routed", "test_healthy")
    tests = [Path(__file__).with_name(f"{one}.py") for one in names]
    asked = {code for code in BY_NAME for file in tests if f'"{code}"' in file.read_text()}
    assert BY_NAME - asked == {"lsp.not_disabled"}  # below


def test_a_switch_lets_through_a_port_that_is_down() -> None:
    tables = healthy()
    put(N1, "port", "id", A, admin_state_up=False)(tables)
    codes = [one.verdict.code for one in ask(tables).blockers]
    assert codes == ["port.admin_down", "lsp.not_disabled"]
