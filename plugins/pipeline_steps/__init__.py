"""The steps of ``<project>.train_and_deploy``, group by group."""
