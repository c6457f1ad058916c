"""One table of HTTP statuses, for every client."""

import pytest

from isthmus import errors
from isthmus.clients.http.status import MEANINGS, to_error

NEUTRON = {"NeutronError": {"type": "X", "message": "10.0.0.9 is taken.", "detail": ""}}


@pytest.mark.parametrize("status", MEANINGS)
def test_an_error_names_who_answered_what_and_why(status: int) -> None:
    error = to_error(status, NEUTRON, name="site1", path="/v2.0/ports")
    assert type(error) is MEANINGS[status].error
    assert error.message.startswith(f"site1 answered {status} to /v2.0/ports: 10.0.0.9 is taken")
    assert MEANINGS[status].remedy in error.message
    assert ".;" not in error.message


@pytest.mark.parametrize("status", [401, 403, 500, 502, 503, 504])
def test_where_the_reason_is_none_there_is_a_remedy(status: int) -> None:
    assert to_error(status, {}, name="n", path="/").fields["remedy"]


def test_one_of_our_own_errors_comes_back_as_itself() -> None:
    body = {"NeutronError": {"type": errors.Exhausted.code, "message": "all gone"}}
    error = to_error(500, body, name="central", path="/")
    assert (type(error), error.message) == (errors.Exhausted, "all gone")


def test_a_proxy_answers_in_the_name_of_one_that_is_away() -> None:
    page = "<html><body><h1>503 Service Unavailable</h1>\nNo server is available.</body></html>"
    assert type(to_error(503, page, name="n", path="/")) is errors.Unreachable
    assert type(to_error(503, NEUTRON, name="n", path="/")) is errors.Busy


#: What Neutron's pipeline answers where Keystone takes a call and says nothing, to somebody who
#: accepts JSON and to anybody else.
ERRED = "The server has either erred or is incapable of performing the requested operation."
BARE = {"message": f"{ERRED}<br /><br />\n\n\n", "code": "500 Internal Server Error"}
PAGE = (
    "<html>\n <head>\n  <title>500 Internal Server Error</title>\n </head>\n <body>\n"
    f"  <h1>500 Internal Server Error</h1>\n  {ERRED}<br /><br />\n\n\n\n </body>\n</html>"
)


@pytest.mark.parametrize("body", [PAGE, {**BARE, "title": "Internal Server Error"}])
@pytest.mark.parametrize("can_wait", [False, True])
def test_what_stands_before_an_api_is_not_the_api(body: object, can_wait: bool) -> None:
    """A silent Keystone is nobody's fault who asks: exit code 3, and no intent is parked."""
    error = to_error(500, body, name="site1", path="/v2.0/sites", can_wait=can_wait)
    assert errors.consequence(error).exit_code == 3
    assert errors.consequence(error).journal is errors.JournalAction.RETRY_FREE
    assert "<" not in error.message
    assert "\n" not in error.message
    assert ERRED.rstrip(".") in error.message
    assert "see that its Keystone" in error.message


def test_what_looks_like_a_mark_in_an_apis_own_reason_stays() -> None:
    body = {"NeutronError": {"message": "<a> is no name", "type": "X", "detail": ""}}
    assert "<a> is no name" in to_error(409, body, name="n", path="/").message


def test_a_site_goes_on_while_central_is_out_of_order() -> None:
    assert type(to_error(500, NEUTRON, name="n", path="/")) is errors.StepFailed
    assert type(to_error(500, NEUTRON, name="n", path="/", can_wait=True)) is errors.Stale


def test_a_login_that_is_not_accepted_is_refused_to_a_person_and_a_fault_between_services() -> None:
    assert type(to_error(401, {}, name="n", path="/")) is errors.Refused
    assert type(to_error(401, {}, name="n", path="/", can_wait=True)) is errors.StepFailed


def test_keystone_says_its_reason_elsewhere() -> None:
    body = {"error": {"code": 401, "message": "The request requires authentication", "title": "U"}}
    assert (
        "requires authentication; check the user" in to_error(401, body, name="n", path="/").message
    )


def test_a_status_that_no_api_of_ours_gives_is_none_of_ours() -> None:
    assert type(to_error(418, "teapot", name="n", path="/")) is errors.ProtocolError
