"""Workarounds for bugs in Airflow that are not fixed in a release yet; each names its upstream issue.

Airflow loads them through ``upstream_guards_plugin.py``. A test in ``tests/plugins/upstream_guards/`` reproduces each
bug without its guard. When that test fails after an upgrade of Airflow, the guard can be removed.
"""
