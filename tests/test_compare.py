"""`i2i compare` and `i2i sweep`: what they print, write, skip and resume."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from tests.runs import wait_for
from tests.test_report import Page

GRID = ("--grid", "losses.all.same.weight=0.5,1e0")


@pytest.fixture
def runs(i2i, toy) -> list[str]:
    """Two runs that differ in two values, of 3 and 5 steps."""
    sets = ("--set", "hooks.metrics.every=1", "--run-dir")
    assert i2i("train", "--recipe", "toy.yaml", *toy, *sets, "first").code == 0
    more = ("--set", "steps=5", "--set", "networks.recolour.width=4")
    assert i2i("train", "--recipe", "toy.yaml", *toy, *more, *sets, "second").code == 0
    for folder, share in (("first", 0.25), ("second", 0.5)):
        Path(folder, "eval").mkdir()
        Path(folder, "eval", "true_pairs.json").write_text(json.dumps({"a -> b": {"translated": share}}))
    return ["first", "second"]


def test_runs_are_compared_by_recipe_results_and_losses(i2i, runs):
    answer = i2i("compare", *runs)
    assert answer.code == 0, answer.err
    lines = [" ".join(line.split()) for line in answer.out.splitlines()]
    assert lines[:3] == ["run first second", "state finished finished", "steps 3 5"]
    recipe = lines[lines.index("recipe first second") :]
    assert recipe[1:3] == ["steps 3 5", "networks.recolour.width 3 4"]
    assert recipe[3] == ""
    assert "true_pairs a -> b translated 0.25 0.5" in lines
    assert any(line.startswith("learn/same ") for line in lines)
    assert lines[-1] == "compare.html"
    answer = i2i("compare", *runs)
    assert (answer.code, answer.err) == (
        2,
        "compare.html would be overwritten; choose another place, or allow it with --overwrite\n",
    )


def test_what_no_run_has_logged_is_said_once_instead_of_empty_rows(i2i, toy):
    for folder in ("one", "two"):
        assert i2i("train", "--recipe", "toy.yaml", *toy, "--set", "steps=2", "--run-dir", folder).code == 0
    answer = i2i("compare", "one", "two")
    assert answer.code == 0
    said = "no run has logged losses and seconds; the hook metrics does so every few steps, see its key every"
    assert answer.err == f"{said}\n"
    lines = [line.split() for line in answer.out.splitlines() if line.strip()]
    assert lines == [["run", "one", "two"], ["state", *["finished"] * 2], ["steps", "2", "2"], ["compare.html"]]
    assert f"{said[0].upper()}{said[1:]}." in Page(Path("compare.html")).texts("p")
    assert json.loads(i2i("compare", "one", "two", "--json").out)["seconds"] == [None, None]


def test_runs_of_different_methods_are_compared_by_the_keys_that_both_have(i2i, toy):
    Path("other.py").write_text(Path("toy.py").read_text().replace('"toy', '"other'))
    Path("other.yaml").write_text(Path("toy.yaml").read_text().replace("toy/", "other/").replace("recolour", "painter"))
    Path("other.py").write_text(Path("other.py").read_text().replace("recolour", "painter"))
    assert i2i("train", "--recipe", "toy.yaml", *toy, "--set", "steps=2", "--run-dir", "one").code == 0
    trained = i2i("train", "--recipe", "other.yaml", "--plugin", "other.py", "--set", "seed=3", "--run-dir", "two")
    assert trained.code == 0, trained.err
    answer = i2i("compare", "one", "two")
    assert answer.code == 0
    assert re.search(r"the methods differ: compare.html also lists [1-9]\d* keys that not all", answer.err)
    assert "networks." not in answer.out and "seed" in answer.out
    assert "networks.painter.width" in Path("compare.html").read_text()


def test_a_comparison_as_json(i2i, runs):
    facts = json.loads(i2i("compare", *runs, "--json").out)
    assert facts["runs"] == runs
    assert facts["recipe"] == {"steps": [3, 5], "networks.recolour.width": [3, 4]}
    assert facts["results"] == {"true_pairs a -> b translated": [0.25, 0.5]}
    logged = [json.loads(Path(run, "metrics.jsonl").read_text().splitlines()[-1]) for run in runs]
    assert facts["losses"] == {"learn/same": [line["learn/same"] for line in logged]}
    assert not Path("compare.html").exists()


def test_the_page_shows_curves_over_each_other_and_pictures_at_equal_steps(i2i, runs):
    lines = Path("second/metrics.jsonl").read_text().splitlines()
    Path("second/metrics.jsonl").write_text("\n".join([lines[0], lines[4]]))  # logged at other steps
    assert i2i("compare", *runs).code == 0
    page = Page(Path("compare.html"))
    assert page.texts("h2") == ["Runs", "Recipe", "Samples", "Curves", "Results", "Last losses"]
    (chart,) = page.charts()
    assert chart["x"] == [1, 2, 3, 5]
    first, second = chart["lines"]
    assert [first["name"], second["name"]] == ["first", "second"]
    ends = [json.loads(line)["learn/same"] for line in (lines[0], lines[4])]
    assert first["y"][3] is None
    assert second["y"] == pytest.approx([ends[0] + (ends[1] - ends[0]) * k / 4 for k in (0, 1, 2, 4)], rel=1e-3)
    shown = [found for name, found, _ in page.elements if "data-step" in found]
    assert [found["data-step"] for found in shown] == ["1", "2", "3"]
    assert [n for n, found in enumerate(shown) if "hidden" not in found] == [2]
    images = [found["alt"] for name, found, _ in page.elements if name == "img"]
    assert images == ["grid of first", "grid of second"] * 3
    assert "default-src 'none'" in page.text


def test_runs_of_one_name_are_told_apart_and_one_run_is_not_compared(i2i, runs):
    shutil.copytree("first", "other/first")
    assert "run first other/first" in " ".join(i2i("compare", "first", "other/first").out.split())
    answer = i2i("compare", "first")
    assert (answer.code, answer.err.splitlines()[-1]) == (
        2,
        "Error: name two or more runs; i2i report RUN is about one",
    )
    answer = i2i("compare", "first", "nowhere")
    assert (answer.code, answer.err) == (2, "nowhere is not the folder of a run: it has no recipe.yaml\n")


def test_a_sweep_prints_the_commands_that_are_left_for_a_cluster(i2i, toy):
    options = ("sweep", "toy.yaml", *toy, *GRID, "--grid", "seed=0", "--set", "hooks.metrics.every=1")
    first = "runs/toy-sweep/same.weight=0.5,seed=0"
    printed = i2i(*options, "--print").out.splitlines()
    assert printed[0] == (
        "i2i train --recipe toy.yaml --set hooks.metrics.every=1 --plugin toy.py --set losses.all.same.weight=0.5 "
        f"--set seed=0 --run-dir {first}"
    )
    assert not Path("runs").exists()
    assert i2i(*shlex.split(printed[0])[1:]).code == 0
    assert i2i(*options, "--print").out.splitlines() == printed[1:]
    longer = i2i(*options, "--set", "steps=4", "--print").out.splitlines()
    assert longer[0].endswith(f"--run-dir {first} --resume")
    assert i2i(*shlex.split(longer[0])[1:]).code == 0
    assert json.loads(Path(first, "status.json").read_text())["step"] == 4


def test_a_sweep_trains_each_combination_and_a_run_that_fails_does_not_end_it(i2i, toy):
    trouble, folder = "{use: toy/trouble, error: type}", Path("runs/toy-sweep")
    answer = i2i("sweep", "toy.yaml", *toy, "--grid", f"hooks.t={trouble},null", "--set", "hooks.metrics.every=1")
    failed, good = "hooks.t=use_toy_trouble,error_type", "hooks.t=null"
    assert (answer.code, answer.err.splitlines()) == (
        1,
        [
            f"1 of 2: training {folder / failed}",
            f"2 of 2: training {folder / good}",
            f"1 of 2 runs failed: {failed} (exit code 1)",
        ],
    )
    assert sorted(path.name for path in folder.iterdir()) == ["compare.html", good, failed]
    states = [json.loads((folder / name / "status.json").read_text())["status"] for name in (failed, good)]
    assert states == ["failed", "finished"]
    assert "state failed finished" in " ".join(answer.out.split())
    again = i2i("sweep", "toy.yaml", *toy, "--grid", "hooks.t=null", "--set", "hooks.metrics.every=1")
    assert (again.code, again.err) == (0, f"1 of 1: finished: {folder / good}\n")


def test_mistakes_of_any_run_are_told_before_anything_is_trained(i2i, toy):
    answer = i2i("sweep", "toy.yaml", *toy, "--grid", "networks.recolour.width=3,x")
    assert answer.code == 2
    assert "--set networks.recolour.width=x: networks.recolour.width should be a whole number" in answer.err
    assert not Path("runs").exists()


@pytest.mark.parametrize("grid", ["seed", "seed=", "seed=0,0", "seed=[1"])
def test_a_grid_that_is_none_is_told(i2i, toy, grid):
    answer = i2i("sweep", "toy.yaml", *toy, "--grid", grid)
    assert answer.code == 2
    assert answer.err.splitlines()[-1].startswith("Error: ")
    assert not Path("runs").exists()


@pytest.mark.slow
def test_a_sweep_that_is_stopped_while_its_run_begins_ends_as_later(toy, tmp_path):
    words = [sys.executable, "-m", "i2i_cli", "sweep", "toy.yaml", *toy, *GRID]
    log = tmp_path / "log"
    with open(log, "wb") as file:
        process = subprocess.Popen([*words, "--set", "steps=100000"], stdout=file, stderr=file)
    wait_for(lambda: bool(psutil.Process(process.pid).children()), log)
    time.sleep(0.2)  # the run still imports libraries
    process.send_signal(signal.SIGTERM)
    assert process.wait(60) == 75, log.read_text()
    assert "run the same command again to continue" in log.read_text()


@pytest.mark.slow
def test_a_sweep_that_is_stopped_saves_its_run_and_goes_on(i2i, toy, tmp_path):
    words = [sys.executable, "-m", "i2i_cli", "sweep", "toy.yaml", *toy, *GRID]
    log = tmp_path / "log"
    with open(log, "wb") as file:
        process = subprocess.Popen([*words, "--set", "steps=100000"], stdout=file, stderr=file)
    first = Path("runs/toy-sweep/same.weight=0.5")
    wait_for(lambda: (first / "samples/step-00000001-grid.png").exists(), log)
    process.send_signal(signal.SIGTERM)
    assert process.wait(60) == 75, log.read_text()
    assert f"stopped in {first}; run the same command again to continue" in log.read_text()
    assert json.loads((first / "status.json").read_text())["status"] == "stopped"
    assert not Path("runs/toy-sweep/same.weight=1e0").exists()
    step = json.loads((first / "status.json").read_text())["step"]
    left = i2i("sweep", "toy.yaml", *toy, *GRID, "--set", f"steps={step + 1}", "--print").out.splitlines()
    assert [line.endswith("--resume") for line in left] == [True, False]
