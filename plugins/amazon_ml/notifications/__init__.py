"""Notifiers that the Amazon provider lacks."""
