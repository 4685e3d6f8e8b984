"""Local AWS's light server, loaded from its file: its package needs moto, which AWS's images lack."""

import importlib.util
from pathlib import Path

FILE = Path(__file__).parents[3] / "include" / "local_aws" / "sagemaker" / "ray_serving.py"

_spec = importlib.util.spec_from_file_location("ray_serving", FILE)
assert _spec is not None
assert _spec.loader is not None
ray_serving = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(ray_serving)
