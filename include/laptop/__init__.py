"""Set up, start, monitor and stop the stack on a laptop: local AWS and Airflow."""
