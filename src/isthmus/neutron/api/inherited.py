"""A call that a class inherits, for class decorators that put something before it.

Plugins are made of several classes that each override a call and pass it on with `super()`. What
`getattr` finds on one class alone is the call of its own ancestor; the object that is called may
have further classes in between, and those must not be passed by.
"""

import functools
from collections.abc import Callable
from typing import Any


def find_inherited(plugin: type, name: str) -> Callable[..., Any]:
    """Find what comes behind a class for a call, in the order of the object that is called.

    Args:
        plugin: a class that inherits the call and does not define it.
        name: of the call.

    Returns:
        A function with the signature of the inherited one.
    """

    @functools.wraps(getattr(plugin, name))
    def call(self: Any, *arguments: Any, **options: Any) -> Any:
        return getattr(super(plugin, self), name)(*arguments, **options)

    return call
