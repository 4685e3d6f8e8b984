"""Decodes one image of unknown origin to RGB, within fixed bounds of time and memory.

Training, serving and the pipeline's data check decode by this package alone, so that what the check accepts is
what the others can use. The pipeline imports it as a part of `include`, the classifier by its bare name: so it
imports nothing of the folder that it lies in.
"""

from .bounds import MAX_ASPECT_RATIO, MAX_PIXELS, Header, ImageRefused
from .decoder import decode, inspect
from .formats import FORMATS

__all__ = ["FORMATS", "MAX_ASPECT_RATIO", "MAX_PIXELS", "Header", "ImageRefused", "decode", "inspect"]
