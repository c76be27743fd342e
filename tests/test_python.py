"""Training in Python: the same run as the command makes, and what it left."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

import i2i
from i2i_core.errors import DataError, RecipeError, UsageError

from .runs import TINY, assert_same_bits, copy_of, needs_bf16, train

SETS: dict[str, Any] = {name: yaml.safe_load(value) for name, _, value in (change.partition("=") for change in TINY)}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> i2i.TrainedRun:
    folder = tmp_path_factory.mktemp("python") / "run"
    return i2i.train("stargan_v2.yaml", set={**SETS, "steps": 3}, run_dir=folder)


def test_python_trains_the_run_that_the_command_trains(run: i2i.TrainedRun, tmp_path: Path) -> None:
    train(tmp_path / "run", "steps=3")
    assert_same_bits(run.folder, tmp_path / "run")


def test_a_run_says_what_it_is(run: i2i.TrainedRun) -> None:
    assert repr(run) == f"TrainedRun({str(run.folder)!r}: finished at step 3)"
    assert (run.status, run.step) == ("finished", 3)


def test_metrics_are_columns_of_one_length(run: i2i.TrainedRun) -> None:
    metrics = run.metrics()
    assert metrics["step"] == [1, 2, 3]
    assert {len(column) for column in metrics.values()} == {3}
    assert all(isinstance(value, float) for value in metrics["g_latent/cycle"])


def test_samples_are_the_newest_pictures_by_the_hook_that_drew_them(run: i2i.TrainedRun) -> None:
    samples = run.samples()
    assert samples.keys() == {"latent", "reference"}
    width, height = samples["latent"].size
    assert width > 2 * 34 + 2 and height > 3 * 34 + 2  # the names of domains stand beside them
    assert run.samples(step=1).keys() == samples.keys()
    with pytest.raises(UsageError, match="has no pictures of step 2; the steps with pictures are: 1, 3"):
        run.samples(step=2)


def test_the_model_of_a_run_translates(run: i2i.TrainedRun) -> None:
    model = run.model(device="cpu")
    assert repr(model) == (
        "Translator('run': flat, high_contrast -> flat, high_contrast; 32 x 32 pixels; uses: latent, reference; on cpu)"
    )
    (style,) = model.styles("flat", seeds=[3])
    assert repr(style) == "Style(domain=0, seed=3, codes: s_trg (64,))"
    assert repr(model.sources(run.samples().values())) == "Sources(2 pictures for 'run')"


def test_a_run_is_loaded_and_resumed_by_its_folder(run: i2i.TrainedRun) -> None:
    assert i2i.load_run(run.folder).metrics() == run.metrics()
    again = i2i.train(set={"steps": 4}, run_dir=run.folder, resume=True)
    assert (again.step, again.metrics()["step"]) == (4, [1, 2, 3, 4])
    with pytest.raises(UsageError, match="is not the folder of a run: it has no recipe.yaml"):
        i2i.load_run(run.folder.parent)


@needs_bf16
def test_a_recipe_may_be_a_mapping_and_another_precision_may_follow(run: i2i.TrainedRun, tmp_path: Path) -> None:
    recipe = yaml.safe_load((run.folder / "recipe.yaml").read_text())
    once = i2i.train({**recipe, "precision": "bf16"}, set={"steps": 1}, run_dir=tmp_path / "bf16")
    assert once.step == 1
    assert i2i.train(recipe, set={"steps": 1}, run_dir=tmp_path / "fp32").step == 1


def test_mistakes_are_exceptions_with_their_place(tmp_path: Path) -> None:
    with pytest.raises(RecipeError, match=r"--set stepps=3: unknown key stepps in the recipe \(did you mean steps\?\)"):
        i2i.train("stargan_v2.yaml", set={"stepps": 3}, run_dir=tmp_path / "run")
    with pytest.raises(UsageError, match="name a recipe"):
        i2i.train()
    with pytest.raises(DataError, match="there is no folder nowhere"):
        i2i.train(
            "stargan_v2.yaml",
            run_dir=tmp_path / "run",
            set={**SETS, "data": {"use": "image_folders", "root": "nowhere", "image_size": 32, "batch_size": 2}},
        )
    assert not (tmp_path / "run" / "checkpoints").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"set": ["steps=2"]}, 'set is a mapping such as {"steps": 100}, not list'),
        ({"set": {"steps": object()}}, "steps is set to a object, which a recipe cannot hold"),
        ({"recipe": 3}, "a recipe is a name, a path or a mapping, not int"),
        ({"plugins": "mine.py"}, r"plugins is a list of files: \['mine.py'\]"),
    ],
)
def test_arguments_of_the_wrong_type_are_told(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        i2i.train(**{"recipe": "stargan_v2.yaml", **arguments})


def test_a_damaged_folder_gives_what_is_left(run: i2i.TrainedRun, tmp_path: Path) -> None:
    folder = copy_of(run.folder, tmp_path / "copy")
    (folder / "status.json").write_text('{"status": 3, "step": "x"}')
    newest = max((folder / "samples").glob("*-latent.png"))
    newest.write_bytes(newest.read_bytes()[:100])
    damaged = i2i.load_run(folder)
    assert damaged.step == run.metrics()["step"][-1]
    with pytest.warns(UserWarning, match="cannot be used as a picture"):
        assert damaged.samples().keys() == {"reference"}


def test_importing_i2i_is_light_and_its_names_are_completed() -> None:
    code = "import sys, i2i; print('torch' in sys.modules, *dir(i2i))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == [
        "False",
        "Sources",
        "Style",
        "TrainedRun",
        "Translator",
        "__version__",
        "load",
        "load_run",
        "train",
    ]
