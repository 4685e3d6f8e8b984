"""Ask an AWS account what the contract tests ask local AWS: ``make verify-aws``."""
