"""AWS on one loopback port: moto's server, with SageMaker and Lambda that really run."""
