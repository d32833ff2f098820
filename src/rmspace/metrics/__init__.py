"""Metrics: one value per prompt from scores and gold rewards."""
