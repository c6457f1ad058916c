"""A site's extension: what Xjob and the audit call there."""

from typing import Any

from neutron_lib.api import extensions

from isthmus.neutron.api import attributes, definition


class Isthmus_local(extensions.ExtensionDescriptor):  # noqa: N801 - the loader asks for this name
    """One site of many."""

    @classmethod
    def get_name(cls) -> str:
        """Give the name that a person reads."""
        return "Isthmus, site"

    @classmethod
    def get_alias(cls) -> str:
        """Give the name that a program reads."""
        return definition.LOCAL_ALIAS

    @classmethod
    def get_description(cls) -> str:
        """Say what it is."""
        return "Objects that central maps to this site."

    @classmethod
    def get_updated(cls) -> str:
        """Say since when."""
        return definition.UPDATED

    @classmethod
    def get_resources(cls) -> list[Any]:
        """Give the resources."""
        return definition.build_resources(attributes.LOCAL)
