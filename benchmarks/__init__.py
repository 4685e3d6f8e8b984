"""Measures what this repository does against what its user would do instead."""
