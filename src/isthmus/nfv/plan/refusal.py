"""A plan of a host, or the error that says why there is none and what would work."""

from isthmus import errors
from isthmus.model.host_inventory import HostInventory
from isthmus.model.host_plan import HostPlan, Refusal
from isthmus.model.nfv_intent import NfvIntent
from isthmus.nfv.inspect import document
from isthmus.nfv.plan import nearest


def plan_or_refuse(inventory: HostInventory, intent: NfvIntent) -> HostPlan:
    """Plan a host.

    Raises:
        Exhausted: the host cannot do it; the message has every constraint and the nearest intents.
    """
    outcome = nearest.plan_or_nearest(inventory, intent)
    if isinstance(outcome, Refusal):
        raise errors.Exhausted(say_refusal(outcome), refusal=document.to_document(outcome))
    return outcome


def say_refusal(refusal: Refusal) -> str:
    """Format a refusal."""
    why = "; ".join(constraint.message for constraint in refusal.constraints)
    near = (
        f" What would work: {'; or '.join(refusal.nearest)}."
        if refusal.nearest
        else " No small change of the intent works either."
    )
    return f"{refusal.host} cannot be planned so: {why}.{near}"
