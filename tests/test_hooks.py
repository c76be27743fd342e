"""What hooks do while a run trains: averages, pictures, numbers."""

from __future__ import annotations

import gc
import io
import json
import shutil
import time
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from rich.console import Console
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from torch import Tensor, nn

from i2i_core.data.formats.picture import Picture
from i2i_core.data.sets import SampledRecords
from i2i_core.data.sheet import Cell, sheet
from i2i_core.errors import Diverged, RecipeError
from i2i_core.interfaces import RunContext
from i2i_core.training.compute import peak_of_process
from i2i_core.training.hooks import progress
from i2i_core.training.hooks.ema import EMA
from i2i_core.training.hooks.metrics import Metrics
from i2i_core.training.hooks.sample_grid import SampleGrid
from i2i_core.training.hooks.true_pairs import TruePairs
from i2i_core.training.run import Run
from i2i_core.training.shares import Shares

from .models import pixels
from .runs import NO_GRIDS, largest_difference, logged, train


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run that was trained for a step, to look at."""
    return train(tmp_path_factory.mktemp("hooks") / "run", "steps=1", *NO_GRIDS)


# EMA


@pytest.mark.parametrize("unbiased", [False, True])
def test_the_average_is_the_formula_with_the_initial_weights_or_without(tmp_path: Path, unbiased: bool) -> None:
    decay, networks = 0.9, ("generator", "mapping_network", "style_encoder")
    expected: dict[str, Tensor] = {}
    for steps in range(1, 4):  # each from the start: a run is a function of its recipe
        trained = train(
            tmp_path / str(steps),
            f"steps={steps}",
            "precision=fp64",
            f"hooks.ema.decay={decay}",
            f"hooks.ema.unbiased={str(unbiased).lower()}",
            "hooks.checkpoint=null",
            "hooks.start=trouble/remember",
            *NO_GRIDS,
        )
        start = trained.hooks["start"].parameters
        now = {f"{n}/{key}": p.detach() for n in networks for key, p in trained.networks[n].named_parameters()}
        assert now.keys() <= start.keys()
        first = {name: torch.zeros_like(p) for name, p in now.items()} if unbiased else start
        expected = {name: decay * (expected or first)[name] + (1 - decay) * p for name, p in now.items()}
        weights = 1 - decay**steps if unbiased else 1  # of all that was averaged
        found = {name: p * weights for name, p in trained.hooks["ema"].state_dict().items()}
        assert max(float((found[name] - p).abs().max()) for name, p in expected.items()) < 1e-12
    assert max(float((found[name] / weights - start[name]).abs().max()) for name in expected) > 1e-5


def test_pictures_are_drawn_from_the_averages_and_training_is_not(run: Run) -> None:
    for name in ("generator", "mapping_network", "style_encoder"):
        assert run.eval_networks[name] is run.hooks["ema"].averages[name]
        assert run.eval_networks[name] is not run.networks[name]
        assert not any(p.requires_grad for p in run.eval_networks[name].parameters())
    assert run.eval_networks["discriminator"] is run.networks["discriminator"]


def test_buffers_are_copied_whatever_their_type() -> None:
    network = nn.BatchNorm1d(2)
    ema = EMA(networks=["n"], decay=0.5)
    fake: Any = SimpleNamespace(networks={"n": network}, eval_networks={}, step=1)
    ema.run_start(fake)
    network(torch.randn(4, 2))
    ema.after_step(fake)
    copied = dict(ema.averages["n"].named_buffers())
    assert all(copied[name].equal(buffer) for name, buffer in network.named_buffers())
    assert int(copied["num_batches_tracked"]) == 1


# Sample grids


def cells(run: RunContext, **keys: Any) -> list[list[Any]]:
    grid = SampleGrid(name="grid", sources=3, rows=4, **keys)
    grid.run_start(run)
    return grid.cells(run)


def test_a_row_is_one_style_and_one_domain(run: Run) -> None:
    seen: list[dict[str, Any]] = []
    shown, styles = (run.tensor(name, "g_latent") for name in ("x_fake", "s_trg"))

    def view(batch: dict[str, Tensor], **how: Any) -> Tensor:
        seen.append({**batch, "s_trg": styles(batch, **how)})
        return shown(batch, **how)

    view.fields = shown.fields  # type: ignore[attr-defined]
    watched: Any = SimpleNamespace(validation=run.validation, recipe=run.recipe, tensor=lambda *_: view)
    found = cells(watched, phase="g_latent")
    assert [len(row) for row in found] == [3] * 5
    for row, asked in enumerate(seen):
        assert asked["s_trg"].allclose(asked["s_trg"][:1].expand(3, -1), atol=1e-5)
        assert asked["y_trg"].tolist() == [row % 2] * 3
        assert [same(cell, Picture().decode(x)) for cell, x in zip(found[0], asked["x_real"], strict=True)] == [
            True
        ] * 3
    assert len({tuple(asked["s_trg"][0].tolist()) for asked in seen}) == 4
    assert seen[0]["y_org"].tolist() == [0, 1, 0]


def test_a_grid_in_parts_is_the_same_grid(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = [cells(run, phase=phase) for phase in ("g_latent", "g_reference")]
    monkeypatch.setattr(Shares, "part", 2)
    for phase, found in zip(("g_latent", "g_reference"), whole, strict=True):
        again = [cell for row in cells(run, phase=phase) for cell in row if cell]
        first = [cell for row in found for cell in row if cell]
        assert all(np.abs(pixels(a) - pixels(b)).max() <= 1 for a, b in zip(again, first, strict=True))


def test_references_stand_at_the_left_only_where_they_matter(run: Run) -> None:
    assert run.tensor("x_fake", "g_reference").fields == {"x_real", "x_ref", "y_trg"}
    assert run.tensor("x_fake", "g_latent").fields == {"x_real", "y_trg"}
    found = cells(run, phase="g_reference")
    assert [len(row) for row in found] == [4] * 5
    assert found[0][0] is None, "the corner is empty"
    for row, (reference, *_) in enumerate(found[1:]):
        assert any(same(reference, picture) for picture in held_out(run, row % 2))


def held_out(run: Run, domain: int) -> list[Image.Image]:
    """All held-out pictures of a domain, as the networks get them."""
    pictures = run.validation.batch(domain, range(run.validation.count(domain)))["x"]
    return [Picture().decode(x) for x in pictures]


def same(a: Image.Image, b: Image.Image) -> bool:
    return a.size == b.size and a.tobytes() == b.tobytes()


def test_grids_show_held_out_pictures(run: Run) -> None:
    for y, source in zip((0, 1, 0), cells(run, phase="g_latent")[0], strict=True):
        assert any(same(source, picture) for picture in held_out(run, y))


def test_drawing_changes_nothing_that_trains(tmp_path: Path) -> None:
    train(tmp_path / "with", "steps=2", "hooks.latent.every=1")
    train(tmp_path / "without", "steps=2", *NO_GRIDS)
    assert largest_difference(tmp_path / "with", tmp_path / "without", ("networks", "hooks", "optimizers")) == 0


@pytest.mark.parametrize("phase", ["g_latent", "g_reference"])
def test_a_grid_names_the_domains_of_its_sources_and_rows(run: Run, phase: str) -> None:
    grid = SampleGrid(name="grid", sources=3, rows=4, phase=phase)
    grid.run_start(run)
    flat, contrast = "flat", "high_\ncon…st"
    above: list[Cell] = [None, flat, contrast, flat]
    left = [None, flat, contrast, flat, contrast]
    if phase == "g_reference":
        above.insert(0, None)
    rows = [above, *([name, *row] for name, row in zip(left, grid.cells(run), strict=True))]
    assert grid.sheet(run).tobytes() == sheet(rows, (32, 32), gap=2).tobytes()


def test_two_grids_of_one_phase_are_two_files_by_the_names_of_their_hooks(tmp_path: Path) -> None:
    wide = "hooks.wide={use: sample_grid, phase: g_latent, sources: 3, rows: 2}"
    train(tmp_path / "run", "steps=1", "hooks.reference=null", wide)
    assert {file.name for file in (tmp_path / "run" / "samples").iterdir()} == {
        "step-00000001-latent.png",
        "step-00000001-wide.png",
    }


# Order


def test_a_hook_is_last_because_it_says_so(tmp_path: Path) -> None:
    run = train(tmp_path / "run", "steps=1", *NO_GRIDS, "hooks.late=trouble/last", "hooks.early=trouble/order")
    assert run.hooks["early"].heard == ["early with 0 checkpoints", "late with 1 checkpoints"]


# Numbers


def test_metrics_are_written_every_n_steps_as_they_were(tmp_path: Path) -> None:
    train(tmp_path / "all", "steps=4", *NO_GRIDS)
    train(tmp_path / "some", "steps=4", "hooks.metrics.every=2", *NO_GRIDS)
    everything = logged(tmp_path / "all")
    assert [line["step"] for line in everything] == [1, 2, 3, 4]
    assert logged(tmp_path / "some") == everything[1::2]
    assert set(everything[0]) == {
        "step",
        *(
            f"{phase}/{term}"
            for phase, terms in {
                "d_latent": ("adversarial", "r1"),
                "d_reference": ("adversarial", "r1"),
                "g_latent": ("adversarial", "style", "diversity", "cycle"),
                "g_reference": ("adversarial", "style", "diversity", "cycle"),
            }.items()
            for term in terms
        ),
    }


def test_time_and_memory_are_written_beside_them_but_for_the_step_that_warms_up(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    started = time.perf_counter()
    train(folder, "steps=6", "hooks.metrics.every=2", *NO_GRIDS)  # a checkpoint after step 3
    first = json.loads((folder / "speed.jsonl").read_text().splitlines()[0])
    shutil.rmtree(folder / "checkpoints" / "step-00000006")
    train(folder, "steps=8", resume=True)
    took = time.perf_counter() - started
    lines = [json.loads(line) for line in (folder / "speed.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == [2, 6, 8]  # resumed after step 3, so that step 4 warms up
    assert lines[0] == first
    assert all(line["seconds"] > 0 for line in lines) and sum(line["seconds"] for line in lines) < took
    assert 50e6 < lines[0]["memory"] <= lines[2]["memory"] <= peak_of_process()


def test_the_time_of_a_step_is_that_between_two_lines_by_their_steps(tmp_path: Path) -> None:
    run: Any = SimpleNamespace(
        step=0,
        folder=tmp_path,
        is_main=True,
        log=lambda values: None,
        accelerator=SimpleNamespace(device=torch.device("cpu")),
    )
    metrics = Metrics(every=3)
    for run.step in range(1, 7):
        time.sleep(0.3 if run.step == 1 else 0.03)
        metrics.after_step(run, {"phase/term": torch.ones(())})
    written = [json.loads(line)["seconds"] for line in (tmp_path / "speed.jsonl").read_text().splitlines()]
    assert written == [pytest.approx(0.03, abs=0.02)] * 2


def test_a_term_that_is_due_every_other_step_is_computed_and_logged_then(tmp_path: Path) -> None:
    """Also where a whole phase is not due, and a later one needs what it would have computed."""
    trained = train(
        tmp_path / "run",
        "steps=4",
        *NO_GRIDS,
        "losses.discriminator.adversarial.every=2",
        "losses.discriminator.r1.every=4",
        "losses.generator.style.every=2",
        "losses.generator.calls={use: trouble/spoilt, at: 0, every: 2}",
    )
    lines = logged(tmp_path / "run")
    for step, line in enumerate(lines):
        assert ("d_latent/adversarial" in line) == (step % 2 == 0)
        assert ("d_reference/r1" in line) == (step % 4 == 0)
        assert ("g_latent/calls" in line) == ("g_latent/style" in line) == (step % 2 == 0)
        assert "g_reference/cycle" in line
    calls = {phase.name: [t.call for t in phase.terms if t.name == "calls"] for phase in trained.plan}
    assert calls["g_latent"][0].calls == 4  # two phases, twice


def test_a_term_with_a_period_reaches_metrics_and_progress_between_the_lines(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    train(
        tmp_path / "run",
        "steps=6",
        *NO_GRIDS,
        "hooks.metrics.every=3",
        "losses.discriminator.r1.every=4",
        "hooks.progress={use: progress, every: 3}",
    )
    everything = logged(tmp_path / "run")
    assert [line["step"] for line in everything] == [3, 6]
    assert all("d_latent/r1" in line for line in everything)  # computed in the steps 1 and 5
    lines = [line for line in capfd.readouterr().err.splitlines() if line.startswith("step ")]
    assert len(lines) == 2 and all(" d_latent/r1 " in line for line in lines)


def test_the_tracker_writes_event_files_with_the_losses(tmp_path: Path) -> None:
    train(tmp_path / "run", "steps=2", *NO_GRIDS, "hooks.tracker=tracker")
    events = EventAccumulator(str(tmp_path / "run" / "logs" / "i2i")).Reload()
    found = [(e.step, e.value) for e in events.Scalars("g_latent/cycle")]
    assert found == [(line["step"], pytest.approx(line["g_latent/cycle"])) for line in logged(tmp_path / "run")]


def test_the_tracker_gets_the_sample_grids(tmp_path: Path) -> None:
    grid = "hooks.latent={use: sample_grid, phase: g_latent, every: 2, sources: 2, rows: 2}"
    folder = tmp_path / "run"
    train(folder, "steps=2", grid, "hooks.reference=null", "hooks.tracker=tracker")
    events = EventAccumulator(str(folder / "logs" / "i2i")).Reload()
    shown = events.Images("samples/latent")
    assert [event.step for event in shown] == [1, 2]
    for event in shown:
        drawn = Image.open(folder / "samples" / f"step-{event.step:08d}-latent.png")
        sent = Image.open(io.BytesIO(event.encoded_image_string))
        assert sent.convert("RGB").tobytes() == drawn.convert("RGB").tobytes()
    train(tmp_path / "none", "steps=1", grid, "hooks.reference=null", "hooks.tracker={use: tracker, pictures: false}")
    assert EventAccumulator(str(tmp_path / "none" / "logs" / "i2i")).Reload().Tags()["images"] == []


@pytest.mark.parametrize("to", ["wandb", "trackio"])
def test_other_trackers_get_pictures_offline(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, to: str) -> None:
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_DIR", str(tmp_path))
    monkeypatch.setenv("TRACKIO_DIR", str(tmp_path))  # read by the import
    pytest.importorskip(to)
    grid = "hooks.latent={use: sample_grid, phase: g_latent, every: 2, sources: 2, rows: 2}"
    train(tmp_path / "run", "steps=2", grid, "hooks.reference=null", f"hooks.tracker={{use: tracker, to: {to}}}")
    assert len([file for file in tmp_path.rglob("*.png") if file.parent != tmp_path / "run" / "samples"]) >= 2


def test_a_tracker_that_is_not_installed_is_refused_with_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match="wandb is not installed; pip install wandb, or set this hook to null"):
        train(tmp_path / "run", "hooks.tracker={use: tracker, to: wandb}")


def test_progress_is_a_line_every_n_steps_where_no_one_watches(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    train(tmp_path / "run", "steps=5", "hooks.progress={use: progress, every: 2}", *NO_GRIDS)
    lines = capfd.readouterr().err.splitlines()
    assert lines[0] == f"training on cpu from step 0 to 5 -> {tmp_path}/run"
    counts = "1,343 flat, 1,343 high_contrast"
    assert lines[1] == f"pictures: {counts}; held out: {counts.replace('1,343', '219')}"
    assert [line.split()[1] for line in lines[2:5]] == ["2/5", "4/5", "5/5"]
    assert all(" left  d_latent/adversarial " in line for line in lines[2:5])
    assert lines[5].startswith("5 steps in 0:")
    assert len(lines) == 6


def test_progress_names_a_folder_as_it_is_and_counts_one_step(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "[red]" / ":smile:"
    train(folder, "steps=1", "hooks.progress=progress", *NO_GRIDS)
    first, *_, last = capfd.readouterr().err.splitlines()
    assert first == f"training on cpu from step 0 to 1 -> {folder}"
    assert last.startswith("1 step in 0:")


def test_a_resumed_run_counts_its_own_steps(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    train(tmp_path / "run", "steps=3", *NO_GRIDS)
    train(tmp_path / "run", "steps=5", "hooks.progress=progress", resume=True)
    assert capfd.readouterr().err.splitlines()[-1].startswith("2 steps in 0:")
    train(tmp_path / "run", resume=True)
    assert "training" not in capfd.readouterr().err, "nothing is left to train"


def test_a_terminal_is_left_as_it_was_when_a_run_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = io.StringIO()
    monkeypatch.setattr(progress, "Console", lambda **_: Console(file=terminal, force_terminal=True, width=90))
    with pytest.raises(Diverged):
        train(
            tmp_path / "run", "hooks.progress=progress", "losses.generator.bad={use: trouble/spoilt, at: 3}", *NO_GRIDS
        )
    gc.collect()  # at the latest, when the process ends
    hidden, shown = terminal.getvalue().count("\x1b[?25l"), terminal.getvalue().count("\x1b[?25h")
    assert hidden == shown == 1


# True pairs


class Same:
    """The same pictures in every domain."""

    paired = True
    domains: Sequence[str] = ("a", "b", "c")

    def count(self, domain: int) -> int:
        return 40

    def picture(self, domain: int, index: int) -> Image.Image:
        generator = torch.Generator().manual_seed(index)
        return Image.fromarray(torch.randint(256, (24, 24, 3), generator=generator, dtype=torch.uint8).numpy())


def a_run_that_translates(by: Any, data: Any) -> Any:
    recipe = SimpleNamespace(data=SimpleNamespace(image_size=(32, 32), targets="all"))

    def view(batch: dict[str, Tensor], draw: int) -> Any:
        return by(batch)

    view.fields = ("x_real", "x_ref", "y_trg")  # type: ignore[attr-defined]

    return SimpleNamespace(validation=SampledRecords(data, (32, 32)), recipe=recipe, tensor=lambda name, phase: view)


def measured(run: Any, batch_size: int) -> dict[str, dict[str, Any]]:
    hook = TruePairs(name="true_pairs", phase="any", batch_size=batch_size)
    hook.run_start(run)
    return hook.measure(run)


def test_a_translation_that_is_the_true_pair_is_always_recognised() -> None:
    found = measured(a_run_that_translates(lambda batch: batch["x_real"], Same()), batch_size=16)
    assert found.keys() == {f"{a} -> {b}" for a in "abc" for b in "abc" if a != b}
    for shares in found.values():
        error = shares.pop("error")
        assert shares == {"translated": 1.0, "untranslated": 1.0, "chance": 1 / 40}
        assert error["translated"] < 1e-6 and error["untranslated"] == 0
        assert error["random"] == pytest.approx(0.28, abs=0.06)  # noise against noise, blurred by the resizing


def test_a_translation_that_is_another_picture_is_never_recognised() -> None:
    def shifted(batch: Any) -> Tensor:
        return batch["x_real"].roll(1, dims=0)

    found = measured(a_run_that_translates(shifted, Same()), batch_size=40)
    assert all(shares["translated"] == 0.0 for shares in found.values())


def test_true_pairs_of_translations_back_have_references_as_sources() -> None:
    run = a_run_that_translates(lambda batch: batch["x_ref"], Same())
    run.recipe.data.targets = {"a": ["b"]}
    for source, way, share in (("x_ref", "b -> a", 1.0), ("x_real", "a -> b", 0.0)):
        hook = TruePairs(name="true_pairs", source=source)
        hook.run_start(run)
        ((name, found),) = hook.measure(run).items()
        assert (name, found["translated"]) == (way, share)


def test_true_pairs_are_measured_at_the_end_of_a_run(tmp_path: Path) -> None:
    train(tmp_path / "run", "steps=1", *NO_GRIDS, "hooks.true_pairs={use: true_pairs, phase: g_latent}")
    found = json.loads((tmp_path / "run" / "eval" / "true_pairs.json").read_text())
    assert found.keys() == {"flat -> high_contrast", "high_contrast -> flat"}
    for shares in found.values():
        assert all(0 <= share <= 1 for share in (*shares.pop("error").values(), *shares.values()))


def test_what_was_measured_is_told_in_whole_lines_and_names_as_they_are(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    class Named(Same):
        domains: Sequence[str] = ("[bold]a photograph of a cat[/bold]", ":smile:")

    run = a_run_that_translates(lambda batch: batch["x_real"], Named())
    run.is_main, run.folder = True, tmp_path
    hook = TruePairs(name="pairs")
    hook.run_start(run)
    hook.run_end(run)
    first, second = capfd.readouterr().err.splitlines()
    assert first.startswith("[bold]a photograph of a cat[/bold] -> :smile:: 100.0% of held-out translations are ")
    assert second.startswith(":smile: -> [bold]a photograph of a cat[/bold]: 100.0% of held-out translations are ")
    assert all(" a random picture 0." in line and line.endswith(")") for line in (first, second))


def test_true_pairs_say_when_there_are_none_to_measure(tmp_path: Path) -> None:
    for domain in ("cat", "dog"):
        (tmp_path / "data" / domain).mkdir(parents=True)
        Image.new("RGB", (32, 32)).save(tmp_path / "data" / domain / "a.png")
    data = f"data={{use: image_folders, root: {tmp_path}/data, image_size: 32, batch_size: 2}}"
    measured = "hooks.true_pairs={use: true_pairs, phase: g_latent}"
    said: list[str] = []
    assert train(tmp_path / "run", data, "steps=1", *NO_GRIDS, measured, warn=said.append).step == 1
    assert "the held-out pictures have no true pairs for the hook true_pairs to measure" in "".join(said)
    assert not (tmp_path / "run" / "eval").exists()
