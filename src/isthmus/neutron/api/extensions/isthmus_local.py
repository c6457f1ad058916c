"""A site's extension: what Xjob and the audit call there."""

from typing import Any

from neutron_lib.api import extensions

from isthmus.neutron.api import attributes, definition


class Isthmus_local(extensions.ExtensionDescriptor):  # noqa: N801 - the loader asks for this name
    """One site of many."""

    @classmethod
    def get_name(cls) -> str:
        """Return the name for people."""
        return "Isthmus, site"

    @classmethod
    def get_alias(cls) -> str:
        """Return the alias for programs."""
        return definition.LOCAL_ALIAS

    @classmethod
    def get_description(cls) -> str:
        """Return the description."""
        return "Objects that central maps to this site."

    @classmethod
    def get_updated(cls) -> str:
        """Return the date of the last change."""
        return definition.UPDATED

    @classmethod
    def get_resources(cls) -> list[Any]:
        """Return the resources."""
        return definition.build_resources(attributes.LOCAL)
