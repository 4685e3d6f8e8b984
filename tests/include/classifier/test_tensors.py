"""A network's state is written as safetensors and read again as it was."""

import json
import struct
from pathlib import Path

import pytest
import torch
from image_classifier import model, tensors
from torch import nn


def test_a_network_that_shares_weights_is_written_whole(tmp_path: Path) -> None:
    network = nn.Sequential(nn.Linear(3, 3), nn.Linear(3, 3))
    network[1].weight = network[0].weight
    tensors.write_state(tmp_path / "x.safetensors", network.state_dict())

    state = tensors.read_state(tmp_path / "x.safetensors")

    assert all(torch.equal(value, state[name]) for name, value in network.state_dict().items())
    assert list(state) == sorted(network.state_dict())


def test_layers_are_told_which_version_wrote_them(tmp_path: Path) -> None:
    # MNASNet refuses a state without its version.
    network = model.backbone_of("mnasnet0_5", 64)
    tensors.write_state(tmp_path / "x.safetensors", network.state_dict())

    network.load_state_dict(tensors.read_state(tmp_path / "x.safetensors"))


def test_what_was_read_outlives_its_file(tmp_path: Path) -> None:
    path = tmp_path / "x.safetensors"
    tensors.write(path, {"a": torch.ones(3)}, {"text": "é"})

    read, text = tensors.read(path)
    path.write_bytes(bytes(path.stat().st_size))

    assert read["a"].tolist() == [1, 1, 1]
    assert text == {"text": "é"}


@pytest.mark.parametrize(
    "offsets", [[0, 400], [-4, 4], [4, 0]], ids=["beyond the end", "before the start", "backwards"]
)
def test_a_file_that_names_what_it_does_not_have_is_refused(offsets: list[int], tmp_path: Path) -> None:
    header = json.dumps({"a": {"dtype": "F32", "shape": [1], "data_offsets": offsets}}).encode()
    path = tmp_path / "x.safetensors"
    path.write_bytes(struct.pack("<Q", len(header)) + header + bytes(4))

    with pytest.raises(Exception, match=r"header|offset|Tensor"):
        tensors.read(path)
