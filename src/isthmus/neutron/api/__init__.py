"""What Isthmus adds to Neutron's API: resources, their policies, and our errors as Neutron's."""
