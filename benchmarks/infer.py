"""Speed of translation in eval mode: one style per picture, and eight styles of one picture, with styles from latents.

The baseline calls its whole generator once for each style. The product uses the networks that make the samples of a
run; it encodes each picture once and decodes once for each style. Both compute masks, if any, once for each picture.
"""

from __future__ import annotations

from collections.abc import Sequence

from benchmarks.sides import Figures, Turn, Work, alternate

PICTURES, STYLES = 4, 8


def measure(size: int, masks: bool, sets: Sequence[str] = (), *, blocks: int, threads: int) -> Figures:
    """Measure the seconds per picture with one style, and the seconds per style of one picture."""
    turns = {"picture": (PICTURES, 1), "style": (1, STYLES)}
    found: Figures = {side: {} for side in ("baseline", "product", "ratio")}
    for name, (pictures, styles) in turns.items():
        per = pictures * styles
        figures = alternate(
            {"baseline": Turn(_baseline, per), "product": Turn(_product, per)},
            (size, masks, sets, pictures, styles),
            blocks=blocks,
            threads=threads,
        )
        for side, measures in figures.items():
            found[side] |= {f"{clock}_seconds_per_{name}": measures[f"{clock}_seconds"] for clock in ("cpu", "wall")}
    return found


def _baseline(size: int, masks: bool, sets: Sequence[str], pictures: int, styles: int) -> Work:
    import torch

    from benchmarks.case import Case

    case = Case(size, 1, masks, sets)
    training, (batch,), z = case.baseline(), case.batches(), torch.randn(1, 16, device=case.device)
    G, F = (training.averages[name].eval() for name in ("generator", "mapping_network"))

    @torch.no_grad()
    def work() -> None:
        for _picture in range(pictures):
            drawn = None if training.fan is None else training.fan(batch["x_real"])
            for _style in range(styles):
                G(batch["x_real"], F(z, batch["y_trg"]), drawn)

    return work


def _product(size: int, masks: bool, sets: Sequence[str], pictures: int, styles: int) -> Work:
    import torch

    from benchmarks.case import Case

    case = Case(size, 1, masks, sets)
    run, (batch,), z = case.product(), case.batches(), torch.randn(1, 16, device=case.device)
    G, F = (run.eval_networks[name].eval() for name in ("generator", "mapping_network"))
    fan = run.planner.definitions["masks"].call

    @torch.no_grad()
    def work() -> None:
        for _picture in range(pictures):
            drawn, content = fan(batch["x_real"]) if masks else None, G.encode(batch["x_real"])
            for _style in range(styles):
                G.decode(content, F(z, batch["y_trg"]), drawn)

    return work
