"""Which mutants, at which sites, in which environments."""
