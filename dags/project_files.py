"""Shows what is wrong with a project file as an import error in Airflow's UI; the other projects' DAGs go on.

A project file becomes DAGs in the files beside this one, which pass over those that can't be used.
"""

from include.pipeline.settings import SettingsError, read_projects

_, errors = read_projects()
if errors:
    raise SettingsError("\n".join(str(error) for error in errors))
