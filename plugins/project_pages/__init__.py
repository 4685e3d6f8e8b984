"""The pages of projects, which Airflow serves behind its login, and the links to them."""
