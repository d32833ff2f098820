"""Figures, each a function of a tidy table."""
