"""Shows what is wrong with a project file as an import error in Airflow's UI; the other projects' DAGs go on.

A project file becomes DAGs in the files beside this one. They pass over a file that can't be used, and over a DAG that
can't be built of it, so this file builds them too, and raises what went wrong.
"""

import runpy
from pathlib import Path

from include.pipeline.project_files import read_projects
from include.pipeline.settings import SettingsError

_, errors = read_projects()
for path in sorted(Path(__file__).parent.glob("*.py")):
    if path.name != Path(__file__).name:
        errors += runpy.run_path(str(path))["errors"]
if errors:
    raise SettingsError("\n".join(str(error) for error in errors))
