"""The application of a saved model: ``SM_RAYSERVE_APP=serve_app:app``. See :mod:`image_classifier.serve_app`."""

from image_classifier.serve_app import app as app
from image_classifier.serve_app import asgi as asgi
