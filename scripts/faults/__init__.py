"""The parts of `scripts/reliability.py`: damages of files, faults of processes, and what each must not lose."""
