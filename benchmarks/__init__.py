"""Compare the performance of this repository with that of alternatives."""
