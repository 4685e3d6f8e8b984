"""Evaluates models on the test images; processing jobs run this script. See :mod:`image_classifier.evaluate`."""

from image_classifier.errors import run_program
from image_classifier.imports import quick_imports

with quick_imports():
    from image_classifier.evaluate import main

if __name__ == "__main__":
    run_program(main)
