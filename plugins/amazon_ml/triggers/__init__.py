"""Triggers for SageMaker and Lambda."""
