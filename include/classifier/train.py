"""Trains a classifier; training jobs and EC2 instances run this script. See :mod:`image_classifier.train`."""

from image_classifier.errors import run_program
from image_classifier.imports import quick_imports

with quick_imports():
    from image_classifier.train import main

if __name__ == "__main__":
    run_program(main)
