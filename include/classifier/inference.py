"""The handler of a saved model, which the evaluation of a later model calls too."""

from image_classifier.inference import model_fn as model_fn
from image_classifier.inference import transform_fn as transform_fn
