"""Many experiments: a grid of cells, run in any order on any number of workers, kept in one file."""
