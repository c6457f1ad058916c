"""Nova in the lab: what each site has besides Neutron where a person asked for `--compute`."""
