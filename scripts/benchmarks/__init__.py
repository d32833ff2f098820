"""The parts of `scripts/benchmark.py`: measuring, synthetic banks, the published protocol, and the stages."""
