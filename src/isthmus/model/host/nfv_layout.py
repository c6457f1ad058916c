"""Layouts: where a host keeps the configuration of Nova and Neutron, and its Open vSwitch."""

import enum


class Layout(enum.StrEnum):
    """Who set the host up; each has its own paths and its own way to restart a service."""

    PLAIN = "plain"  #: packages and systemd units: /etc/nova
    KOLLA = "kolla"  #: Kolla and Kolla-Ansible, in podman or docker: /etc/kolla
    TRIPLEO = "tripleo"  #: puppet-generated files under /var/lib/config-data
    RHOSO = "rhoso"  #: edpm-ansible: /var/lib/openstack/config
