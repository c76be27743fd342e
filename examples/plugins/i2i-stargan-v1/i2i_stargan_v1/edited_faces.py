"""The attributes of edited faces, measured by colour."""

from __future__ import annotations

import json
import sys
from typing import Any

import torch
from pydantic import PositiveInt
from torch import Tensor

from i2i_core.interfaces import RunContext

from .drawing import ATTRIBUTES, BLOND, BROWN, HAT, LIPS, RIMS
from .faces import GIVEN

NEAR = 80.0
"""Greatest distance of a pixel from a colour that counts, with channels from 0 to 255."""
LEAST = {"Eyeglasses": (RIMS, 0.013), "Smiling": (LIPS, 0.0095), "Wearing_Hat": (HAT, 0.06)}
"""Colours of attributes, and the shares of a picture's pixels from which on they are there."""


class EditedFaces:
    """A measurement at the end of training: how often the attributes of edited drawn faces are those that were wanted.

    Every held-out face gets the attributes of another one by the tensor `show`, in batches of `batch_size`. Its
    attributes are then found by colour, without a network: blond or brown hair, blue rims, the red of an open mouth, a
    green hat. The results are written to eval/NAME.json, with the hook's name in the recipe: `all` is the share of
    faces of which all attributes are those wanted, `unedited` the same of the sources. For each attribute, `changed`
    is the share of faces that got it or lost it as wanted, among those that should; `kept` the share of faces in which
    it stayed, among the others; `measured` the share of sources of which the measurement is true.
    """

    def __init__(self, *, name: str, show: str = "x_fake", batch_size: PositiveInt = 32) -> None:
        self.name, self.show, self.batch_size = name, show, batch_size

    def run_start(self, run: RunContext) -> None:
        self.shown = run.tensor(self.show)

    def run_end(self, run: RunContext) -> None:
        if not run.is_main or run.folder is None:
            return
        found = self.measure(run)
        file = run.folder / "eval" / f"{self.name}.json"
        file.parent.mkdir(exist_ok=True)
        file.write_text(json.dumps(found, indent=1), encoding="utf-8")
        each = ", ".join(f"{name} {found[name]['changed']:.1%}" for name in ATTRIBUTES)
        print(
            f"{self.name}: {found['all']:.1%} of edited faces have all attributes that were wanted (unedited "
            f"{found['unedited']:.1%}); changed as wanted: {each}",
            file=sys.stderr,
        )

    def measure(self, run: RunContext) -> dict[str, Any]:
        """Edit all held-out faces, and return shares in [0, 1]."""
        everyone = range(run.validation.count(0))
        edited, sources, before = list[Tensor](), list[Tensor](), list[Tensor]()
        for start in everyone[:: self.batch_size]:
            indices = everyone[start : start + self.batch_size]
            batch = run.validation.batch(0, indices, ("x", GIVEN))
            before.append(batch[GIVEN])
            others = [(index + len(everyone) // 2) % len(everyone) for index in indices]
            wanted = run.validation.batch(0, others, (GIVEN,))[GIVEN]
            edited.append(measured(self.shown({"x_real": batch["x"], "given_ref": wanted})))
            sources.append(measured(batch["x"]))
        given = torch.cat(before) > 0.5
        wanted = given.roll(-(len(everyone) // 2), 0)
        return shares(given, wanted, torch.cat(edited), torch.cat(sources))


def measured(x: Tensor) -> Tensor:
    """Find the attributes of drawn faces (N, 3, H, W) in [-1, 1] by colour; return (N, K), true or false.

    Pictures should have at least 32 pixels: the rims of glasses are thin.
    """
    colours = torch.tensor([BLOND, BROWN, RIMS, LIPS, HAT], dtype=x.dtype, device=x.device)
    levels = (x.clamp(-1, 1) + 1) * 127.5
    distances = torch.linalg.vector_norm(levels[:, None] - colours[None, :, :, None, None], dim=2)
    near = (distances < NEAR) & (distances == distances.amin(1, keepdim=True))
    blond, brown, *others = near.float().mean((2, 3)).unbind(1)
    return torch.stack([blond > brown, *(of > LEAST[name][1] for of, name in zip(others, LEAST, strict=True))], 1)


def shares(given: Tensor, wanted: Tensor, edited: Tensor, sources: Tensor) -> dict[str, Any]:
    """Return the shares that the hook writes, of attributes (N, K), true or false.

    given, wanted: those of the sources, and those that they should get. edited, sources: those measured after and
    before.
    """
    right, change = edited == wanted, given != wanted

    def share(of: Tensor, among: Tensor) -> float:
        return float(of[among].float().mean()) if among.any() else 1.0

    every = torch.ones(len(given), dtype=torch.bool)
    found: dict[str, Any] = {"all": share(right.all(1), every), "unedited": share((sources == wanted).all(1), every)}
    for k, name in enumerate(ATTRIBUTES):
        found[name] = {
            "changed": share(right[:, k], change[:, k]),
            "kept": share(right[:, k], ~change[:, k]),
            "measured": share(sources[:, k] == given[:, k], every),
        }
    return found
