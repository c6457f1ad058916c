"""What Neutron logs of our answers of 503: in a process that has Neutron, and in a real site."""

import subprocess
import sys
import uuid

import pytest
from tests.neutron.central_server import CentralServer
from tests.neutron.local_server import LocalServer
from tests.neutron.server import tenant

pytestmark = pytest.mark.neutron

PROGRAM = """
import logging
from neutron.api.v2 import resource
from neutron.pecan_wsgi.hooks import translation
from neutron_lib import exceptions as n_exc
from isthmus import errors
from isthmus.neutron.api.faults import to_fault
from isthmus.neutron.api.log import lines
from isthmus.neutron.api.log.outages import OneLine
from isthmus.neutron.local.fetch.fetching import CentralUnreachable

for kind in errors.all_errors():
    is_503 = errors.consequence(kind).http_status == 503
    assert (lines.describe(to_fault(kind("x"))) is not None) is is_503, kind
away, busy = to_fault(errors.Unreachable("no route")), to_fault(errors.Busy("x"))
assert lines.describe(CentralUnreachable(reason="no route")) == "CentralUnreachable: no route"
several = n_exc.MultipleExceptions([away, away, busy])
assert lines.describe(several) == "Unreachable: no route; Busy: x", lines.describe(several)
for other in (
    None,
    ValueError("a bug"),
    n_exc.ServiceUnavailable(),
    n_exc.MultipleExceptions([busy, ValueError("a bug")]),
    n_exc.MultipleExceptions([]),
):
    assert lines.describe(other) is None, other

lines.install()
lines.install()
for logger in (resource.LOG.logger, translation.LOG.logger):
    assert logger.name in lines.LOGGERS, logger.name
    assert sum(isinstance(one, OneLine) for one in logger.filters) == 1, logger.filters
"""


def test_every_error_of_ours_that_is_answered_503_is_known_and_no_other() -> None:
    # In a process of its own: importing Neutron changes the whole interpreter.
    ran = subprocess.run(
        [sys.executable, "-c", PROGRAM], check=False, capture_output=True, text=True
    )
    assert ran.returncode == 0, ran.stderr


def test_a_site_without_central_logs_one_line_and_no_traceback(
    central: CentralServer, site1: LocalServer
) -> None:
    project = uuid.uuid4().hex
    network = central.create("network", tenant(project), name="n")
    before = len(site1.log())
    assert site1.wan is not None
    site1.wan.cut()
    try:
        for _ in range(3):
            answer = site1.get(f"networks/{network['id']}", tenant(project))
            assert answer.status == 503, answer
    finally:
        site1.wan.heal()
    said = site1.log()[before:]
    assert said.count("answered 503 (") == 1, said
    assert "Traceback" not in said, said
