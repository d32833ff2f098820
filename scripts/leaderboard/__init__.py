"""The parts of `scripts/leaderboard.py`: the rows, the data, the studies, the tests and the page."""
