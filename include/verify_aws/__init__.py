"""Run the contract tests of local AWS against an AWS account: ``make verify-aws``."""
