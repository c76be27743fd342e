"""Compute a recorded training iteration again and compare the results: python -m i2i_stargan_v2.golden FOLDER/NAME

A golden case consists of three files: NAME.json (sizes, losses), NAME.keys.json (names and shapes of each network's
state dict) and NAME.npz (arrays). Weights and inputs follow from a formula (see `golden_fill`). The components below
put them into an ordinary recipe that the ordinary trainer runs. No plugin registers these components.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import safetensors.torch
import torch
from PIL import Image
from torch import Tensor

from i2i_stargan_v2.golden_fill import fill, fill_array, inputs

if TYPE_CHECKING:
    from i2i_core.registry.plugins import Plugins
    from i2i_core.training.run import Run

TOLERANCE = {"float64": 1e-9, "float32": 1e-4}
TERMS = {"adversarial": "adv", "style": "sty", "diversity": "ds", "cycle": "cyc", "r1": "reg"}
NOISE = 1e-10
"""Bound below which a gradient, as a share of the phase's largest, is rounding noise: biases that a norm cancels."""


class Case:
    """Golden case: the recorded `facts`, the state-dict `keys` of each network, and the recorded `arrays`."""

    def __init__(self, path: Path) -> None:
        try:
            self.facts = json.loads(path.with_name(f"{path.name}.json").read_text())
            self.keys: dict[str, dict[str, list[int]]] = json.loads(
                path.with_name(f"{path.name}.keys.json").read_text()
            )
            with np.load(path.with_name(f"{path.name}.npz")) as arrays:
                self.arrays = {name: arrays[name] for name in arrays.files}
        except (OSError, ValueError) as error:
            raise ValueError(f"{path} is not a golden case: {error}") from None
        self.name, self.path = path.name, path
        self.dtype: torch.dtype = getattr(torch, self.facts["dtype"])

    def inputs(self) -> dict[str, Tensor]:
        f = self.facts
        return inputs(self.name, f["batch"], f["image_size"], f["num_domains"], self.dtype)

    def recipe(self, fan_weights: Path) -> dict[str, Any]:
        """Return the recipe of one iteration with the inputs of this case; diversity has weight 2, the others 1."""
        f, case = self.facts, str(self.path.resolve())
        hidden, latent_dim = self.keys["mapping_network"]["shared.0.weight"]
        style_dim = self.keys["mapping_network"]["unshared.0.6.weight"][0]
        widths = {"channel_base": f["channel_base"], "max_channels": f["max_channels"]}
        generator: dict[str, Any] = {"use": "stargan_v2/generator", "style_dim": style_dim, **widths}
        tensors: dict[str, Any] = {name: {"use": "golden/input", "case": case, "name": name} for name in self.inputs()}
        if f["w_hpf"] > 0:
            generator["skip"] = {"use": "fan_mask/high_pass", "strength": 1 / f["w_hpf"]}
            for name, of in (("masks", "x_real"), ("fake_masks", "x_fake")):
                tensors[name] = {"use": "fan_mask/heatmaps", "of": of, "weights": str(fan_weights)}
        return {
            "i2i": 1,
            "steps": 1,
            "precision": {"float64": "fp64", "float32": "fp32"}[f["dtype"]],
            "method": "stargan_v2/method",
            "data": {"use": "golden/domains", "case": case, "image_size": f["image_size"], "batch_size": f["batch"]},
            "networks": {
                "generator": generator,
                "mapping_network": {
                    "use": "stargan_v2/mapping_network",
                    "latent_dim": latent_dim,
                    "style_dim": style_dim,
                    "hidden_dim": hidden,
                },
                "style_encoder": {"use": "stargan_v2/style_encoder", "style_dim": style_dim, **widths},
                "discriminator": {"use": "stargan_v2/discriminator", **widths},
            },
            "tensors": tensors,
            "losses": {
                "discriminator": {
                    "adversarial": {"use": "stargan_v2/adversarial", "player": "discriminator"},
                    "r1": {"use": "stargan_v2/r1", "gamma": 1.0},
                },
                "generator": {
                    "adversarial": {"use": "stargan_v2/adversarial", "player": "generator"},
                    "style": "stargan_v2/style",
                    "diversity": {"use": "stargan_v2/diversity", "weight": -2.0},
                    "cycle": "stargan_v2/cycle",
                },
            },
            "phases": {
                "d_latent": {"train": ["discriminator"], "losses": "discriminator", "where": {"s_trg": "s_latent"}},
                "d_reference": {
                    "train": ["discriminator"],
                    "losses": "discriminator",
                    "where": {"s_trg": "s_reference"},
                },
                "g_latent": {
                    "train": ["generator", "mapping_network", "style_encoder"],
                    "losses": "generator",
                    "where": {"s_trg": "s_latent", "s_trg2": "s_latent2"},
                },
                "g_reference": {
                    "train": ["generator"],
                    "losses": "generator",
                    "where": {"s_trg": "s_reference", "s_trg2": "s_reference2"},
                },
            },
            "optimizers": {
                "default": {"use": "adam", "lr": 1e-4, "betas": [0.0, 0.99], "weight_decay": 1e-4},
                "mapping_network": {"lr": 1e-6},
            },
            "hooks": {
                "golden": {"use": "golden/recorder", "case": case},
                "progress": None,
                "metrics": None,
                "checkpoint": None,
            },
        }


class GoldenDomains:
    """Data set with the domains of a golden case and one blank picture per domain.

    The pictures of the case enter as tensors instead.

    case: path of the golden case without a suffix.
    """

    paired = False

    def __init__(self, *, case: Path) -> None:
        self.domains = tuple(f"domain{y}" for y in range(Case(case).facts["num_domains"]))

    def count(self, domain: int) -> int:
        return 1

    def picture(self, domain: int, index: int) -> Image.Image:
        return Image.new("RGB", (8, 8))


class GoldenInput:
    """Tensor of a golden case: z_trg, z_trg2, x_real, x_ref, x_ref2, y_org or y_trg.

    case: path of the golden case without a suffix.
    name: name of the tensor.
    """

    def __init__(self, *, case: Path, name: str) -> None:
        self.value = Case(case).inputs()[name]

    def __call__(self) -> Tensor:
        return self.value


class Golden:
    """Hook that fills the networks by the formula and records outputs, losses, gradients and stepped parameters.

    case: path of the golden case without a suffix.
    """

    def __init__(self, *, case: Path) -> None:
        self.case = Case(case)
        self.found: dict[str, Tensor] = {}

    def run_start(self, run: Run) -> None:
        for name, network in run.networks.items():
            fill(network, name, self.case.dtype)
            have = {key: list(value.shape) for key, value in network.state_dict().items()}
            want = {k: v for k, v in self.case.keys[name].items() if k != "hpf.filter"}
            if have != want:
                raise ValueError(f"{name} and the case differ in these tensors: {have.items() ^ want.items()}")
        self._forward(run)

    def _forward(self, run: Run) -> None:
        latent = run.tensors(["s_latent", "x_fake", "real_logits", "masks", "x_real"], {}, phase="g_latent")
        reference = run.tensors(["s_reference", "x_fake"], {}, phase="g_reference")
        stride = self.case.facts["pixel_stride"]
        self.found |= {
            "mapping_network": latent["s_latent"],
            "style_encoder": reference["s_reference"],
            "discriminator": latent["real_logits"],
            "generator.latent": latent["x_fake"][..., ::stride, ::stride],
            "generator.reference": reference["x_fake"][..., ::stride, ::stride],
        }
        if latent["masks"] is None:
            return
        with torch.no_grad():
            plain = run.networks["generator"](latent["x_real"], latent["s_latent"], None)
        source: Any = run.planner.definitions["masks"].call  # a component of another plugin
        with torch.no_grad():
            raw = source.fan(latent["x_real"])
        self.found |= {
            "generator.no_masks": plain[..., ::stride, ::stride],
            "fan.mask_full": latent["masks"][0][..., ::8, ::8],
            "fan.mask_no_mouth": latent["masks"][1][..., ::8, ::8],
            "fan.raw_heatmaps_sum": raw.sum((2, 3)),
            "fan.landmarks": source.landmarks(latent["x_real"]),
        }

    def after_phase(self, run: Run, phase: str, losses: Mapping[str, Tensor]) -> None:
        for name in run.recipe.phases[phase].train:
            for key, p in run.networks[name].named_parameters():
                gradient = torch.zeros(()) if p.grad is None else p.grad  # unused layers are frozen
                self.found[f"grad_norm.{phase}.{name}.{key}"] = gradient.norm()
        for term, value in losses.items():
            self.found[f"losses.{phase}.{term}"] = value

    def run_end(self, run: Run) -> None:
        for name, network in run.networks.items():
            for key, p in network.named_parameters():
                self.found[f"after.{name}.{key}"] = torch.stack([p.detach().sum(), p.detach().abs().sum()])


def rebuild(path: Path) -> Golden:
    """Run the recipe of a case with the installed plugins and return the hook that recorded the results."""
    from i2i_core.plan.check import check_recipe
    from i2i_core.recipe.reading import parse_recipe
    from i2i_core.training.compute import make_accelerator
    from i2i_core.training.run import Run

    case = Case(path)
    with tempfile.TemporaryDirectory() as folder:
        fan = Path(folder) / "fan.safetensors"
        if case.facts["w_hpf"] > 0:
            safetensors.torch.save_file(
                {key: _fan_tensor(key, shape, case.dtype) for key, shape in case.keys["fan"].items()}, fan
            )
        recipe = parse_recipe(json.dumps(case.recipe(fan)), f"{case.name} (golden)")
        run = Run(check_recipe(recipe, _plugins()), make_accelerator(recipe.precision), None)
    run.start()
    if "losses" in case.facts:
        run.trainer.train(run)
    golden: Golden = run.hooks["golden"]
    return golden


def _plugins() -> Plugins:
    """Return the installed plugins, with the components of this file added."""
    from i2i_core.registry.entries import Entry
    from i2i_core.registry.plugins import discover

    plugins = discover()
    for kind, name, target in (
        ("hook", "recorder", Golden),
        ("dataset", "domains", GoldenDomains),
        ("tensor", "input", GoldenInput),
    ):
        plugins.registry.add(Entry(kind, f"golden/{name}", f"i2i_stargan_v2.golden:{target.__name__}", "golden"))
    return plugins


def _fan_tensor(key: str, shape: list[int], dtype: torch.dtype) -> Tensor:
    if key.endswith("num_batches_tracked"):
        return torch.zeros(shape, dtype=torch.int64)
    return torch.from_numpy(np.asarray(fill_array(f"fan/{key}", tuple(shape)))).to(dtype)


def errors(golden: Golden) -> dict[str, float]:
    """Return the largest relative error of each group of arrays; groups without comparable arrays are left out."""
    case, found = golden.case, golden.found
    noisy = _noise(case.arrays)
    worst: dict[str, float] = {}
    for name, expected in case.arrays.items():
        group = ".".join(name.split(".")[: 2 if name.startswith(("grad_norm", "after", "fan", "generator")) else 1])
        key = ".".join(name.split(".")[2:] if name.startswith("grad_norm") else name.split(".")[1:])
        if group.startswith(("grad_norm", "after")) and key in noisy:
            continue
        worst[group] = max(worst.get(group, 0.0), _relative(found.get(name), expected))
    for phase, values in case.facts.get("losses", {}).items():
        for name, value in _losses(found, phase).items():
            worst["losses"] = max(worst.get("losses", 0.0), _relative(value, np.asarray(values[name])))
    return worst


def _losses(found: Mapping[str, Tensor], phase: str) -> dict[str, Tensor]:
    """Return the losses of a phase under their recorded names; `total` is their sum, weighted as in the recipe."""
    prefix = f"losses.{phase}."
    ours = {TERMS[k.removeprefix(prefix)]: v for k, v in found.items() if k.startswith(prefix)}
    if "reg" in ours:
        return {"total": ours["adv"] + ours["reg"], "reg": ours["reg"]}
    return {"total": ours["adv"] + ours["sty"] - 2 * ours["ds"] + ours["cyc"], **ours}


def _noise(arrays: Mapping[str, np.ndarray[Any, Any]]) -> set[str]:
    """Return the parameters whose gradient is rounding noise in some phase, such as generator.encode.0.conv1.bias."""
    norms = {name: float(a) for name, a in arrays.items() if name.startswith("grad_norm.")}
    top: dict[str, float] = {}
    for name, norm in norms.items():
        phase = name.split(".")[1]
        top[phase] = max(top.get(phase, 0.0), norm)
    return {".".join(name.split(".")[2:]) for name, norm in norms.items() if 0 < norm < NOISE * top[name.split(".")[1]]}


def _relative(ours: Tensor | None, expected: np.ndarray[Any, Any]) -> float:
    """Return the largest difference as a share of the largest expected magnitude; infinity if the shapes differ."""
    if ours is None or tuple(ours.shape) != expected.shape:
        return float("inf")
    difference = np.abs(ours.detach().cpu().double().numpy() - expected.astype(np.float64)).max(initial=0.0)
    scale = np.abs(expected).max(initial=0.0)
    return float(difference / scale if scale > 0 else difference)


def main(argv: list[str] | None = None) -> int:
    """Compare a case and return the exit code: 0 if every group is within the tolerance, 1 if not, 2 without a case."""
    parser = argparse.ArgumentParser(
        prog="python -m i2i_stargan_v2.golden",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("case", type=Path, help="path of the case without a suffix, FOLDER/NAME")
    try:
        golden = rebuild(parser.parse_args(argv).case)
    except ValueError as error:
        print(error, file=sys.stderr)
        return 2
    tolerance = TOLERANCE[golden.case.facts["dtype"]]
    results = errors(golden)
    for group, worst in results.items():
        print(f"{group:28} {worst:.1e}{'' if worst <= tolerance else '  exceeds the tolerance'}")
    bad = [group for group, worst in results.items() if not worst <= tolerance]
    print(f"{golden.case.name}: {'differs in ' + ', '.join(bad) if bad else 'agrees'} (tolerance {tolerance:g})")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
