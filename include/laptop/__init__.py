"""The stack on a laptop: local AWS and Airflow, set up, started, watched and stopped by one command each."""
