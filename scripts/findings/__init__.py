"""The parts of `scripts/findings.py`: the studies, the tests of each claim, and the page."""
