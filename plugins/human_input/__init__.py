"""Human-in-the-loop operators."""
