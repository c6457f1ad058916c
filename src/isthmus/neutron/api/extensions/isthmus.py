"""Central's extension: the Admin API and what sites and Xjob call."""

from typing import Any

from neutron_lib.api import extensions

from isthmus.neutron.api import attributes, definition


class Isthmus(extensions.ExtensionDescriptor):
    """Many sites behind one Neutron API."""

    @classmethod
    def get_name(cls) -> str:
        """Give the name that a person reads."""
        return "Isthmus, central"

    @classmethod
    def get_alias(cls) -> str:
        """Give the name that a program reads."""
        return definition.CENTRAL_ALIAS

    @classmethod
    def get_description(cls) -> str:
        """Say what it is."""
        return "Sites, their networks and what is under way between them and central."

    @classmethod
    def get_updated(cls) -> str:
        """Say since when."""
        return definition.UPDATED

    @classmethod
    def get_resources(cls) -> list[Any]:
        """Give the resources, the actions on jobs and the one on site mappings."""
        actions = {
            "site_job": {"retry": "PUT", "cancel": "PUT"},
            "site_mapping": {"release": "PUT"},
            "site": {"go_on_without": "PUT"},
            "site_lease": {"free_for_good": "PUT"},
        }
        return definition.build_resources(attributes.CENTRAL, actions)
