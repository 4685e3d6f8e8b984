"""The steps of the DAGs, one group per file; the files in ``dags/`` chain them."""
