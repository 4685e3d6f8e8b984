"""Operators for SageMaker, Lambda and Application Auto Scaling."""
