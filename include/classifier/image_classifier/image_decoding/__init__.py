"""Decodes one image of unknown origin to RGB, within fixed bounds of time and memory.

Training, serving and the pipeline's data check decode by this package alone, so that what the check accepts is
what the others can use. The pipeline imports it where there is no PyTorch: so it needs none.
"""

from .bounds import MAX_ASPECT_RATIO, MAX_PIXELS, FormatNotDecoded, Header, ImageRefused
from .decoder import decode, inspect
from .formats import CONVERTED, FORMATS

__all__ = [
    "CONVERTED",
    "FORMATS",
    "MAX_ASPECT_RATIO",
    "MAX_PIXELS",
    "FormatNotDecoded",
    "Header",
    "ImageRefused",
    "decode",
    "inspect",
]
