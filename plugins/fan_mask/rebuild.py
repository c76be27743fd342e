"""Rebuild the vendored weights and mean landmarks from face-api's npm package, or with --check compare only.

It needs npm. The weights are copied: 8-bit integers with a scale and an offset per tensor, renamed and in PyTorch's
order of axes. The mean landmarks are those that Face68 finds in the faces of the package's sample photographs, brought
into the frame of CelebA-HQ and made symmetric; no pixel of them is kept.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import json
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from i2i_fan_mask.face_api import WEIGHTS

PACKAGE = "@vladmandic/face-api@1.7.15"
SHA256 = "0d77fffeef362ef9c0939cf6c567f3a2e8e177f114fa257a3270cbd2e509b031"
MODELS = {"points": "face_landmark_68_model", "detector": "tiny_face_detector_model"}


def fetch(folder: Path) -> tarfile.TarFile:
    """The package, as published."""
    command = ["npm", "pack", "--silent", "--pack-destination", str(folder), PACKAGE]
    name = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()[-1]
    tarball = (folder / name).read_bytes()
    if hashlib.sha256(tarball).hexdigest() != SHA256:
        raise ValueError(f"{PACKAGE} is not the tarball this script was written for")
    return tarfile.open(fileobj=io.BytesIO(tarball))


def read(package: tarfile.TarFile, name: str) -> bytes:
    member = package.extractfile(f"package/{name}")
    assert member is not None
    return member.read()


def weights(package: tarfile.TarFile) -> dict[str, Tensor]:
    """Each tensor as uint8, and beside it (scale, offset) in float64."""
    found = {}
    for network, model in MODELS.items():
        (group,) = json.loads(read(package, f"model/{model}-weights_manifest.json"))
        data, start = read(package, f"model/{model}.bin"), 0
        layers = {entry["name"].rpartition("/")[0] for entry in group["weights"] if "depthwise" in entry["name"]}
        for entry in group["weights"]:
            layer, _, part = entry["name"].rpartition("/")
            size = int(np.prod(entry["shape"]))
            tensor = torch.tensor(list(data[start : start + size]), dtype=torch.uint8).reshape(entry["shape"])
            start += size
            name = f"{network}.{layer.replace('/', '.')}{named(part, layer in layers)}"
            found[name] = axes(tensor, part).contiguous()
            quantised = entry["quantization"]
            found[f"{name}:scale"] = torch.tensor([quantised["scale"], quantised["min"]], dtype=torch.float64)
        assert start == len(data), model
    return found


def named(part: str, separable: bool) -> str:
    """What PyTorch calls a part of a layer."""
    if part == "bias":
        return ".pointwise.bias" if separable else ".bias"
    return {"depthwise_filter": ".depthwise.weight", "pointwise_filter": ".pointwise.weight"}.get(part, ".weight")


def axes(tensor: Tensor, part: str) -> Tensor:
    """From TensorFlow's order of axes (height, width, in, out) to PyTorch's."""
    if part == "depthwise_filter":
        return tensor.permute(2, 3, 0, 1)
    return tensor.permute(3, 2, 0, 1) if tensor.ndim == 4 else tensor.T if tensor.ndim == 2 else tensor


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; compare with the file here")
    check = parser.parse_args().check
    with tempfile.TemporaryDirectory() as folder, fetch(Path(folder)) as package:
        built = weights(package)
        if check:
            here = load_file(WEIGHTS)
            same = here.keys() == built.keys() and all(torch.equal(here[name], built[name]) for name in built)
            print(f"{WEIGHTS.name}: {'the same' if same else 'differs'}")
            return not same
        save_file(built, WEIGHTS)
        print(f"{WEIGHTS.name}: {WEIGHTS.stat().st_size:,} bytes")
    return 0


if __name__ == "__main__":
    sys.exit(main())
