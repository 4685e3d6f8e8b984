"""Compare the predictions of a saved model with those of the original network with the same weights.

``python -m benchmarks.answers <model folder> <folder of photos>``. Both receive the same tensors, since the original
preprocesses images differently. The probabilities of all classes are compared. It prints ``difference``, the largest
difference, and ``same_label``, the share of photos with the same most probable class.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import torch
from image_classifier.predictor import Predictor

from benchmarks import original


def main(model: str, photos: str) -> None:
    predictor = Predictor(Path(model))
    network = original.load(Path(model))
    prepared = [predictor.prepare(path.read_bytes()) for path in sorted(Path(photos).iterdir())]
    mine = predictor.probabilities(prepared)
    with torch.no_grad():
        theirs = network(torch.from_numpy(np.stack(prepared))).softmax(1).numpy()
    same = mine.argmax(1) == theirs.argmax(1)
    print(json.dumps({"difference": float(np.abs(mine - theirs).max()), "same_label": float(same.mean())}))


if __name__ == "__main__":
    main(*sys.argv[1:])
