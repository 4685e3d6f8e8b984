"""Trains on an EC2 instance as a training job of SageMaker does. See :mod:`image_classifier.instance_training`."""

import sys

from image_classifier.imports import quick_imports

with quick_imports():
    from image_classifier.instance_training import main

if __name__ == "__main__":
    sys.exit(main())
