"""The classifier: it trains, evaluates and serves. The scripts beside this package run it on SageMaker and EC2."""
