"""Looks up the method that a class inherits, for class decorators that wrap it.

Plugins consist of several classes that each override a method and call `super()`. What `getattr`
finds on one class alone is the method of its own ancestor; the called object may have further
classes in between, and those must not be skipped.
"""

import functools
from collections.abc import Callable
from typing import Any


def find_inherited(plugin: type, name: str) -> Callable[..., Any]:
    """Return a function that calls the next method after a class, in the object's method order.

    Args:
        plugin: a class that inherits the method and does not define it.
        name: of the method.

    Returns:
        A function with the signature of the inherited one.
    """

    @functools.wraps(getattr(plugin, name))
    def call(self: Any, *arguments: Any, **options: Any) -> Any:
        return getattr(super(plugin, self), name)(*arguments, **options)

    return call
