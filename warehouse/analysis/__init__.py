"""Statistics that know nothing of the world: arrays in, verdicts out."""
