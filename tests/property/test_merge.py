"""The three-way merge: nobody's lone change is lost, and both sides come to the same state."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from isthmus.federation.merge import changes, merge, normalise

_NAMES = st.sampled_from(["name", "description", "fixed_ips", "security_groups", "up"])
_VALUES = st.one_of(st.none(), st.booleans(), st.text(max_size=3), st.lists(st.text(max_size=2)))
_STATES = st.dictionaries(_NAMES, _VALUES)
_WHOLE = st.fixed_dictionaries(
    dict.fromkeys(("name", "description", "fixed_ips", "security_groups", "up"), _VALUES)
)


@given(_WHOLE, _WHOLE)
def test_a_change_of_one_side_alone_is_kept(base: dict[str, Any], other: dict[str, Any]) -> None:
    assert merge(base, other, base) == other
    assert merge(base, base, other) == other


@given(_WHOLE, _WHOLE, _WHOLE)
def test_central_wins_where_both_changed_and_nowhere_else(
    base: dict[str, Any], mine: dict[str, Any], theirs: dict[str, Any]
) -> None:
    merged = merge(base, mine, theirs)
    for name, value in base.items():
        if theirs[name] != value:
            assert merged[name] == theirs[name]
        else:
            assert merged[name] == mine[name]


@given(st.none() | _STATES, _STATES)
def test_equal_states_stay_as_they_are(base: dict[str, Any] | None, state: dict[str, Any]) -> None:
    assert merge(base, state, state) == state


@given(_STATES, _STATES)
def test_with_no_common_past_central_wins(mine: dict[str, Any], theirs: dict[str, Any]) -> None:
    assert merge(None, mine, theirs) == {**mine, **theirs}


@given(st.none() | _WHOLE, _WHOLE, _WHOLE)
def test_merging_again_changes_nothing(
    base: dict[str, Any] | None, mine: dict[str, Any], theirs: dict[str, Any]
) -> None:
    once = merge(base, mine, theirs)
    assert merge(base, once, theirs) == once
    assert merge(theirs, once, theirs) == once  # after the two agreed on `theirs`


@given(_WHOLE, _WHOLE, _WHOLE)
def test_two_tiers_end_up_equal(
    base: dict[str, Any], site: dict[str, Any], central: dict[str, Any]
) -> None:
    """The site reports, central merges with the report's base, the site takes what central has."""
    at_central = merge(base, site, central)
    agreed = site  # what the report carried, and central acknowledged
    at_site = merge(agreed, site, at_central)
    assert at_site == at_central


@given(_WHOLE, _WHOLE, _WHOLE)
def test_an_apply_that_crosses_a_report_loses_nothing(
    base: dict[str, Any], site: dict[str, Any], central: dict[str, Any]
) -> None:
    """The apply was read at central before the report arrived, and lands before its answer."""
    in_flight = dict(central)
    at_central = merge(base, site, central)
    at_site = merge(base, site, in_flight)  # the apply lands: the base is now what it carried
    reported_again = merge(in_flight, at_site, at_central)
    assert reported_again == at_central
    assert merge(in_flight, at_site, at_central) == at_site


@given(_WHOLE, _WHOLE)
def test_changes_turn_one_state_into_the_other(
    before: dict[str, Any], after: dict[str, Any]
) -> None:
    assert {**before, **changes(before, after)} == after


@given(st.permutations(["a", "b", "c"]), st.permutations([{"ip": "1"}, {"ip": "2"}]))
def test_order_is_no_difference(groups: list[str], fixed: list[dict[str, str]]) -> None:
    state = {"security_groups": groups, "fixed_ips": fixed, "status": "ACTIVE"}
    assert normalise(state, ["security_groups", "fixed_ips", "name"]) == {
        "security_groups": ["a", "b", "c"],
        "fixed_ips": [{"ip": "1"}, {"ip": "2"}],
    }
