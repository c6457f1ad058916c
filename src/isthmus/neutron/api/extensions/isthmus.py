"""Central's extension: the Admin API and what sites and Xjob call."""

from typing import Any

from neutron_lib.api import extensions

from isthmus.neutron.api import attributes, definition


class Isthmus(extensions.ExtensionDescriptor):
    """Many sites behind one Neutron API."""

    @classmethod
    def get_name(cls) -> str:
        """Return the name for people."""
        return "Isthmus, central"

    @classmethod
    def get_alias(cls) -> str:
        """Return the alias for programs."""
        return definition.CENTRAL_ALIAS

    @classmethod
    def get_description(cls) -> str:
        """Return the description."""
        return "Sites, their networks and what is under way between them and central."

    @classmethod
    def get_updated(cls) -> str:
        """Return the date of the last change."""
        return definition.UPDATED

    @classmethod
    def get_resources(cls) -> list[Any]:
        """Return the resources, with the actions on jobs, leases, sites and site mappings."""
        actions = {
            "site_job": {"retry": "PUT", "cancel": "PUT"},
            "site_mapping": {"release": "PUT"},
            "site": {"go_on_without": "PUT", "remove_site": "PUT", "return_lease": "PUT"},
            "site_lease": {"free_for_good": "PUT"},
        }
        return definition.build_resources(attributes.CENTRAL, actions)
