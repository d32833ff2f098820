"""From the YAML of a grid to its cells."""
