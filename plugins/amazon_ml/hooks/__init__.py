"""Hooks for Application Auto Scaling and for invoking SageMaker endpoints."""
