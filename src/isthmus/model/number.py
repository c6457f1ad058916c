"""Numbers of batches: an epoch and a counter within it, in one integer, so that order is order.

A tier's epoch grows when its database was restored or made anew, and its counters begin again
there; whatever an earlier epoch sent is older than whatever a later one sends. No clock has a part
in it.
"""

#: Of the counter. A tier would have to send a million batches a second for twelve days.
COUNTER_BITS = 40
#: Of the epoch: a tier may be restored four million times.
EPOCH_BITS = 22
LIMIT = 1 << (COUNTER_BITS + EPOCH_BITS)  #: the first number that is none
#: How many epochs a peer may be ahead of what was seen of it. A number beyond that is no number,
#: so that none that is wrong can use all of them up.
MOST_EPOCHS_AHEAD = 1 << 12


def make(epoch: int, counter: int = 0) -> int:
    """Make a number."""
    assert 0 <= epoch < 1 << EPOCH_BITS, epoch
    assert 0 <= counter < 1 << COUNTER_BITS, counter
    return (epoch << COUNTER_BITS) + counter


def epoch_of(number: int) -> int:
    """Return a number's epoch."""
    return number >> COUNTER_BITS


def counter_of(number: int) -> int:
    """Return a number's counter."""
    return number & ((1 << COUNTER_BITS) - 1)


def show(number: int) -> str:
    """Return a number as people read it."""
    return f"{epoch_of(number)}.{counter_of(number)}"


def is_plausible(number: int, seen: int) -> bool:
    """Tell whether a peer can have got as far as this number, given what was seen of it."""
    return 0 <= number < LIMIT and epoch_of(number) <= epoch_of(seen) + MOST_EPOCHS_AHEAD
