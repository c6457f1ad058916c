"""What Isthmus adds to Neutron's API: resources, their policies, and how our errors look there."""
