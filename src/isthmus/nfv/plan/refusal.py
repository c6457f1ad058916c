"""A plan of a host, or the error that says why there is none and what would work."""

from isthmus import errors
from isthmus.facts.document import to_document
from isthmus.model.host.host_demand import HostDemand
from isthmus.model.host.host_inventory import HostInventory
from isthmus.model.host.host_plan import HostPlan, Refusal
from isthmus.nfv.plan import alternatives


def plan_or_refuse(inventory: HostInventory, demand: HostDemand) -> HostPlan:
    """Plan a host.

    Raises:
        Exhausted: the host cannot do it; the message has every constraint and the alternatives.
    """
    outcome = alternatives.plan_or_alternatives(inventory, demand)
    if isinstance(outcome, Refusal):
        raise errors.Exhausted(say_refusal(outcome), refusal=to_document(outcome))
    return outcome


def say_refusal(refusal: Refusal) -> str:
    """Format a refusal."""
    why = "; ".join(constraint.message for constraint in refusal.constraints)
    near = (
        f" What would work: {'; or '.join(refusal.alternatives)}."
        if refusal.alternatives
        else " None of the smaller demands that were tried works; mend what is named, or plan "
        "another host."
    )
    return f"{refusal.host} cannot be planned so: {why}.{near}"
