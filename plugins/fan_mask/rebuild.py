"""Rebuild the vendored weights and mean landmarks from the npm package of face-api; with --check only compare them.

The script needs npm. The weights are 8-bit integers with a scale and an offset per tensor. They are copied, renamed and
permuted to PyTorch's order of axes. The mean landmarks are computed from the landmarks that Face68 finds in the sample
photographs of the package. They are converted to the frame of CelebA-HQ and made symmetric. No pixel of the photographs
is stored.
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
from PIL import Image
from safetensors.torch import load_file, save_file
from torch import Tensor

from i2i_fan_mask.align import LEFT_EYE, MEAN, MOUTH, RIGHT_EYE, SIZE, Array, read_mean
from i2i_fan_mask.face68 import THRESHOLD, Face68
from i2i_fan_mask.face_api import WEIGHTS
from i2i_fan_mask.photographs import find_landmarks, tensor_of

PACKAGE = "@vladmandic/face-api@1.7.15"
SHA256 = "0d77fffeef362ef9c0939cf6c567f3a2e8e177f114fa257a3270cbd2e509b031"
PHOTOGRAPHS = [f"demo/sample{i}.jpg" for i in range(1, 7)]
LOOK = 640  # px: the longer side at which photographs are searched
MIRRORED = [
    *range(32, -1, -1),
    *range(46, 41, -1),
    *range(50, 46, -1),
    *range(37, 32, -1),
    *range(41, 37, -1),
    *range(51, 55),
    *range(59, 54, -1),
    *range(72, 67, -1),
    *range(75, 72, -1),
    *range(64, 59, -1),
    *range(67, 64, -1),
    *range(82, 75, -1),
    *range(87, 82, -1),
    *range(92, 87, -1),
    *range(95, 92, -1),
    97,
    96,
]
"""Index of the mirror image of each landmark."""
MODELS = {"points": "face_landmark_68_model", "detector": "tiny_face_detector_model"}


def fetch(folder: Path) -> tarfile.TarFile:
    """Download the package and check its SHA-256."""
    command = ["npm", "pack", "--silent", "--pack-destination", str(folder), PACKAGE]
    name = subprocess.run(command, check=True, capture_output=True, text=True).stdout.split()[-1]
    tarball = (folder / name).read_bytes()
    if hashlib.sha256(tarball).hexdigest() != SHA256:
        raise ValueError(f"the SHA-256 of {PACKAGE} is not the one in this script")
    return tarfile.open(fileobj=io.BytesIO(tarball))


def read(package: tarfile.TarFile, name: str) -> bytes:
    member = package.extractfile(f"package/{name}")
    assert member is not None
    return member.read()


def weights(package: tarfile.TarFile) -> dict[str, Tensor]:
    """Return each tensor as uint8, and its (scale, offset) in float64 under NAME:scale."""
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
    """Return PyTorch's name of a part of a layer."""
    if part == "bias":
        return ".pointwise.bias" if separable else ".bias"
    return {"depthwise_filter": ".depthwise.weight", "pointwise_filter": ".pointwise.weight"}.get(part, ".weight")


def axes(tensor: Tensor, part: str) -> Tensor:
    """Permute TensorFlow's order of axes (height, width, in, out) to PyTorch's."""
    if part == "depthwise_filter":
        return tensor.permute(2, 3, 0, 1)
    return tensor.permute(3, 2, 0, 1) if tensor.ndim == 4 else tensor.T if tensor.ndim == 2 else tensor


def mean_landmarks(package: tarfile.TarFile) -> Array:
    """Return the mean landmarks (98, 2) of the faces in the sample photographs, in pixels of a 256-px picture."""
    found, network = [], Face68()
    for name in PHOTOGRAPHS:
        photograph = Image.open(io.BytesIO(read(package, name)), formats=["JPEG"]).convert("RGB")
        for face in faces(photograph, network):
            if (landmarks := find_landmarks(face, network, network)) is not None:
                found.append(framed(landmarks))
    print(f"mean of {len(found)} faces", file=sys.stderr)
    mean = np.mean(found, axis=0)
    mirror = mean[MIRRORED] * (-1, 1) + (SIZE, 0)
    return ((mean + mirror) / 2).round(2).astype(np.float32)


def faces(photograph: Image.Image, network: Face68) -> list[Image.Image]:
    """Return a square crop around each detected face, sorted by score."""
    scale, boxes = max(photograph.size) / LOOK, list[Tensor]()
    small = photograph.resize([round(n / scale) for n in photograph.size], Image.Resampling.BILINEAR)
    (found,), (scores,) = network.detector(tensor_of(small, network))
    for box in found[scores.argsort(descending=True)][: int((scores >= THRESHOLD).sum())] * scale:
        if all((box[:2] - other[:2]).abs().max() > other[2:].max() / 2 for other in boxes):
            boxes.append(box)
    return [
        photograph.crop([round(float(v)) for v in (*(box[:2] - box[2:].max()), *(box[:2] + box[2:].max()))])
        for box in boxes
    ]


def framed(landmarks: Array) -> Array:
    """Convert landmarks to the frame of CelebA-HQ (Karras et al., Progressive Growing of GANs, 2018, appendix C).

    With eyes e0, e1 and corners of the mouth m0, m1: x' = e1 - e0 and y' = (e0 + e1)/2 - (m0 + m1)/2. The frame has
    the centre (e0 + e1)/2 - 0.1 y', the side max(4.0 |x'|, 3.6 |y'|) and the x axis x' - rotate90(y').
    """
    e0, e1, mouth = (landmarks[part].mean(0) for part in (LEFT_EYE, RIGHT_EYE, MOUTH))
    along, up = e1 - e0, (e0 + e1) / 2 - mouth
    centre, side = (e0 + e1) / 2 - 0.1 * up, max(4.0 * np.linalg.norm(along), 3.6 * np.linalg.norm(up))
    x = along - (up[1], -up[0])
    x /= np.linalg.norm(x)
    shares: Array = (landmarks - centre) @ np.array([x, (-x[1], x[0])]).T / side
    return (shares + 0.5) * SIZE


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="compare with the existing files and write nothing")
    check = parser.parse_args().check
    with tempfile.TemporaryDirectory() as folder, fetch(Path(folder)) as package:
        built = weights(package)
        if not check:
            save_file(built, WEIGHTS)
        mean = mean_landmarks(package)
        if not check:
            np.savez(MEAN, mean=mean)
        here = load_file(WEIGHTS)
        same = {
            WEIGHTS: here.keys() == built.keys() and all(torch.equal(here[name], built[name]) for name in built),
            MEAN: np.allclose(read_mean(), mean, rtol=0, atol=0.05),
        }  # px: rounding differs between machines
        for path, equal in same.items():
            print(f"{path.name}: {path.stat().st_size:,} bytes, {'as built' if equal else 'differs'}")
        return not all(same.values())


if __name__ == "__main__":
    sys.exit(main())
