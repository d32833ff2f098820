"""The parts of `scripts/frozen_or_finetuned.py`: the data, the cells, and the tables."""
