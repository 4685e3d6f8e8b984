"""Computes the features of a data set; processing jobs run this script. See :mod:`image_classifier.features`."""

from image_classifier.errors import run_program
from image_classifier.imports import quick_imports

with quick_imports():
    from image_classifier.features import main

if __name__ == "__main__":
    run_program(main)
