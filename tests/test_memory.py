"""What an iteration takes is told beforehand, without spending it, and what would take less."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
import torch
from accelerate.state import AcceleratorState
from torch import nn

from i2i_cli import memory_advice
from i2i_cli.memory_advice import Forecast, NotPredicted, size
from i2i_core.plan.check import load
from i2i_core.plan.checked import Checked
from i2i_core.training.compute import make_accelerator
from i2i_core.training.failures import explained
from i2i_core.training.hooks.sample_grid import SampleGrid
from i2i_core.training.hooks.true_pairs import TruePairs
from i2i_core.training.peak_memory import LiveStorages, iterate, predicted_peak
from i2i_core.training.run import Run

from .runs import TINY, needs_bf16

SMALL = [change for change in TINY if not change.startswith("hooks.")]
FEW = ["data.image_size=64", "data.batch_size=2", "hooks=null"]


@pytest.fixture(autouse=True)
def precisions() -> Iterator[None]:
    """Accelerate keeps the first precision of a process until it is told to forget it."""
    AcceleratorState._reset_state()
    yield
    AcceleratorState._reset_state()


def quick_start(plugins, *sets: str) -> Checked:
    quiet = ["hooks.progress=null", "hooks.checkpoint=null", "hooks.latent=null", "hooks.reference=null"]
    return load("stargan_v2.yaml", [*SMALL, *quiet, *sets], plugins)


def spent(checked: Checked) -> int:
    with LiveStorages() as tracker:
        iterate(Run(checked, make_accelerator(checked.recipe.precision), None))
    return tracker.peak["cpu"]


def test_a_tracker_counts_a_storage_once_and_until_nobody_keeps_it():
    with LiveStorages() as tracker:
        layer = nn.Linear(10, 10, bias=False)
        view = layer.weight.t()[:5]
        assert tracker.now["cpu"] == 400
        kept = view + 1
        assert tracker.now["cpu"] == 600
        del kept
        assert (tracker.now["cpu"], tracker.peak["cpu"]) == (400, 600)


@pytest.mark.parametrize("sets", [[], ["data.gradient_accumulation=2"], ["precision=fp64"]], ids=str)
def test_the_predicted_peak_is_that_of_a_real_iteration_to_the_byte(plugins, sets: Sequence[str]):
    checked = quick_start(plugins, *sets)
    assert predicted_peak(checked) == spent(checked)


@pytest.mark.parametrize("recipe", ["cyclegan.yaml", "pix2pix.yaml"])
def test_the_peak_of_other_methods_is_predicted_too(plugins, recipe):
    checked = load(recipe, FEW, plugins)
    assert predicted_peak(checked) == spent(checked)


@needs_bf16
def test_under_autocast_the_prediction_is_right_to_a_hundredth(plugins):
    checked = quick_start(plugins, "precision=bf16")
    assert predicted_peak(checked) == pytest.approx(spent(checked), rel=0.01)


def test_to_predict_allocates_nothing(plugins):
    """Networks that fit into no machine."""
    checked = quick_start(plugins, "networks.mapping_network.hidden_dim=50_000")
    assert predicted_peak(checked) > 200e9


def test_averages_count(plugins):
    kept = predicted_peak(quick_start(plugins)) - predicted_peak(quick_start(plugins, "hooks.ema=null"))
    run = Run(quick_start(plugins), make_accelerator("fp32"), None)
    run.start()
    tensors = [t for network in run.hooks["ema"].averages.values() for t in (*network.parameters(), *network.buffers())]
    assert kept == sum(t.nbytes for t in tensors)


@pytest.mark.slow
def test_grids_and_measurements_take_no_more_than_an_iteration(plugins):
    checked = load("stargan_v2.yaml", ["data.batch_size=1"], plugins)
    alone = predicted_peak(checked)
    grid = SampleGrid(name="grid", phase="g_latent", sources=32, rows=1)
    pairs = TruePairs(name="pairs", phase="g_latent")

    def both(run: Run) -> None:
        drawn(grid, run)
        measured(pairs, run)

    assert predicted_peak(checked, both) == alone


def drawn(grid: SampleGrid, run: Run) -> None:
    grid.run_start(run)
    assert [pictures.shape for _, _, pictures in grid.tensors(run)] == [(32, 3, 64, 64)] * 2


def measured(pairs: TruePairs, run: Run) -> None:
    """A batch of it: what it holds besides are pictures in the memory of the host."""
    x = torch.zeros(32, 3, 64, 64, dtype=torch.uint8)
    pairs.run_start(run)
    assert pairs._translate(run, 0, 1, len(x)).shape == x.shape


def test_what_has_no_size_yet_is_not_predicted_in_one_line(plugins):
    with pytest.raises(NotPredicted) as error:
        Forecast("cut.yaml", plugins, FEW)
    assert str(error.value) == "not predicted, because a network has lazy layers, whose sizes are not known yet"
    assert "\n" not in str(error.value)


def test_a_dry_run_of_what_is_not_predicted_is_measured_all_the_same(i2i):
    sets = [word for change in (*FEW, "networks.generator.width=4") for word in ("--set", change)]
    answer = i2i("train", "--recipe", "cut.yaml", "--dry-run", "--memory", "8GB", *sets)
    assert answer.code == 0, answer.err
    (line,) = (line for line in answer.out.splitlines() if line.startswith("peak memory"))
    assert "B; not predicted, because a network has lazy layers" in line


@pytest.fixture
def forecast(plugins, monkeypatch) -> Forecast:
    """With figures that one can follow."""
    figures = {
        (): 1000,
        ("data.gradient_accumulation=2",): 800,
        ("data.gradient_accumulation=4",): 700,
        ("precision=bf16",): 600,
        ("data.gradient_accumulation=2", "precision=bf16"): 500,
        ("data.gradient_accumulation=4", "precision=bf16"): 400,
    }
    monkeypatch.setattr(Forecast, "_predicted", lambda _, switches: figures[switches])
    found = Forecast("stargan_v2.yaml", plugins, [*SMALL, "activation_checkpointing=true"])
    found.base = 0
    return found


@pytest.mark.parametrize(
    ("memory", "sentence"),
    [
        (1200, "the recipe fits in 1.2 kB, of which a tenth must stay free: it takes 1.0 kB"),
        (
            1000,
            "the recipe does not fit in 1.0 kB, of which a tenth must stay free: it takes 1.0 kB; with "
            "--set data.gradient_accumulation=2 it takes 800 bytes",
        ),
        (
            700,
            "the recipe does not fit in 700 bytes, of which a tenth must stay free: it takes 1.0 kB; with "
            "--set precision=bf16 it takes 600 bytes",
        ),
        (
            450,
            "the recipe does not fit in 450 bytes, of which a tenth must stay free: it takes 1.0 kB; with "
            "--set data.gradient_accumulation=4 --set precision=bf16 it takes 400 bytes",
        ),
        (
            400,
            "the recipe does not fit in 400 bytes, of which a tenth must stay free: it takes 1.0 kB; with "
            "--set data.gradient_accumulation=4 --set precision=bf16 it takes 400 bytes at best; lower "
            "data.batch_size, data.image_size or the networks' widths",
        ),
    ],
)
def test_the_advice_is_the_fewest_switches_that_make_the_recipe_fit(forecast, memory, sentence):
    assert forecast.advice(memory) == sentence


def test_without_a_switch_the_advice_is_a_smaller_recipe(plugins, monkeypatch):
    monkeypatch.setattr(Forecast, "_predicted", lambda *_: 1000)
    found = Forecast(
        "stargan_v2.yaml", plugins, [*SMALL, "data.batch_size=1", "activation_checkpointing=true", "precision=bf16"]
    )
    found.base = 0
    assert found.advice(1000) == (
        "the recipe does not fit in 1.0 kB, of which a tenth must stay free: it takes 1.0 kB; "
        "lower data.batch_size, data.image_size or the networks' widths"
    )


def test_a_dry_run_shows_the_prediction_beside_what_was_measured(i2i, toy):
    answer = i2i("train", "--recipe", "toy.yaml", "--dry-run", "--memory", "900GB", *toy)
    assert answer.code == 0, answer.err
    assert "the recipe fits in 900.0 GB, of which a tenth must stay free: it takes " in answer.out
    assert [line.split("  ")[0] for line in answer.out.splitlines()[:5]] == [
        "setting",
        "as is",
        "--set data.gradient_accumulation=2",
        "--set activation_checkpointing=true",
        "--set precision=bf16",
    ]
    (line,) = (line for line in answer.out.splitlines() if line.startswith("peak memory"))
    assert line.endswith(" predicted")


def test_what_does_not_fit_is_not_run(i2i, toy):
    answer = i2i("train", "--recipe", "toy.yaml", "--dry-run", "--memory", "1MB", *toy)
    assert answer.code == 7
    assert answer.err.startswith("the recipe does not fit in 1.0 MB, of which a tenth must stay free: it takes ")
    assert [line.split("  ")[0] for line in answer.out.splitlines()[:2]] == ["setting", "as is"]
    assert "per iteration" not in answer.out


def test_what_is_not_predicted_and_does_not_fit_is_told_by_the_exit_code(i2i):
    sets = [word for change in (*FEW, "networks.generator.width=4") for word in ("--set", change)]
    answer = i2i("train", "--recipe", "cut.yaml", "--dry-run", "--memory", "1MB", *sets)
    assert (answer.code, answer.err.splitlines()[-1]) == (
        7,
        "the recipe does not fit in 1.0 MB, of which a tenth must stay free; lower data.batch_size",
    )
    assert "; not predicted, " in answer.out


def test_a_memory_is_a_number_with_a_unit_and_belongs_to_a_dry_run(i2i, toy):
    assert [size(text) for text in ("8GB", "7.5GiB", "500MB")] == [8_000_000_000, 8_053_063_680, 500_000_000]
    answer = i2i("train", "--recipe", "toy.yaml", "--dry-run", "--memory", "8", *toy)
    assert answer.code == 2
    assert answer.err.endswith("Error: --memory '8' is not a size; write for example 8GB or 7.5GiB\n")
    answer = i2i("train", "--recipe", "toy.yaml", "--memory", "8GB", *toy)
    assert answer.code == 2
    assert answer.err.endswith("Error: --memory needs --dry-run\n")


def test_no_memory_at_all_is_told_too(i2i, toy):
    answer = i2i("train", "--recipe", "toy.yaml", "--dry-run", "--memory", "0GB", *toy)
    assert answer.code == 7
    assert answer.err.startswith("the recipe does not fit in 0 bytes, of which a tenth must stay free: it takes ")
    answer = i2i("train", "--recipe", "toy.yaml", "--dry-run", "--memory", "big", *toy)
    assert answer.code == 2
    assert answer.err.endswith("Error: --memory 'big' is not a size; write for example 8GB or 7.5GiB\n")


def test_a_prediction_decodes_no_picture_and_a_dry_run_says_that_it_does(i2i, plugins, monkeypatch, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(memory_advice, "switches", lambda _: [])
    cache = "data.cache=36"
    assert predicted_peak(quick_start(plugins, cache)) == predicted_peak(quick_start(plugins))
    assert not (tmp_path / "cache").exists()
    sets = [word for change in (*SMALL, cache, "hooks=null") for word in ("--set", change)]
    answer = i2i("train", "--recipe", "stargan_v2.yaml", "--dry-run", *sets)
    assert answer.code == 0, answer.err
    assert [line.partition(", to cache")[0] for line in answer.err.splitlines()] == [
        "dry run: 2 iterations, sample grids, a checkpoint, a resume",
        "warning: decoding pictures of 1,343 records of flat once",
        "warning: decoding pictures of 1,343 records of high_contrast once",
    ]


def test_who_runs_out_of_memory_is_told_how_to_learn_what_helps(plugins):
    raised = explained(MemoryError("no room"), Path(), plugins)
    assert str(raised) == ("out of memory: no room; i2i train --recipe ... --dry-run says which switch makes it fit")
