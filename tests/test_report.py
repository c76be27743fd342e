"""A page about a run: what it tells, what it refuses, and that nothing of a run can become part of its code."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import re
import shutil
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from .runs import Processes, arguments, logged, status, train, wait_for

VOID = {"meta", "link", "img", "input"}
HOSTILE = '<script>document.title = "gone"</script><img src="x" onerror="document.title = 1">'


class Page(HTMLParser):
    """`elements` as (tag, attributes, text in it) in the order of their ends, void ones where they are."""

    def __init__(self, file: Path) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None], str]] = []
        self._open: list[tuple[str, dict[str, str | None], list[str]]] = []
        self.text = file.read_text(encoding="utf-8")
        self.feed(self.text)
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in VOID:
            self.elements.append((tag, dict(attrs), ""))
        else:
            self._open.append((tag, dict(attrs), []))

    def handle_endtag(self, tag: str) -> None:
        opened, attributes, texts = self._open.pop()
        assert opened == tag
        self.elements.append((tag, attributes, " ".join(" ".join(texts).split())))

    def handle_data(self, data: str) -> None:
        for _, _, texts in self._open:
            texts.append(data)

    def texts(self, tag: str, **attributes: str) -> list[str]:
        return [
            text
            for name, found, text in self.elements
            if name == tag and all(found.get(key.rstrip("_")) == value for key, value in attributes.items())
        ]

    def charts(self) -> list[dict[str, Any]]:
        (text,) = self.texts("script", id="charts")
        return list(json.loads(text))


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four steps of the quick start at a tiny size, stopped after two and resumed."""
    folder = tmp_path_factory.mktemp("report") / "run"
    sets = (
        "losses.generator.diversity.weight={ramp: [-1, 0], over: 8}",
        "hooks.true_pairs={use: true_pairs, phase: g_latent}",
        "hooks.latent.every=1",
        "optimizers.default.lr={ramp: [0.001, 0], over: 4}",
    )
    train(folder, "steps=2", "hooks.checkpoint.every=2", *sets)
    train(folder, "steps=4", resume=True)
    return folder


@pytest.fixture
def copy(run: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(run, tmp_path / "copy"))


@pytest.fixture
def page(i2i, run: Path, tmp_path: Path) -> Page:
    file = tmp_path / "page.html"
    answer = i2i("report", run, "--to", file)
    assert (answer.code, answer.out, answer.err) == (0, f"{file}\n", "")
    return Page(file)


def test_a_page_tells_what_was_trained_and_how_it_ended(page: Page, run: Path) -> None:
    assert page.texts("h1") == ["run"]
    assert page.texts("p", class_="lead") == [
        "stargan_v2/method on emoji/drawings (flat, high_contrast) at 32 × 32 pixels."
    ]
    assert page.texts("span", class_="state finished") == ["finished"]
    facts = " ".join(page.texts("dl"))
    assert facts.startswith("steps 4 of 4 time ")
    assert re.search(
        r" per step [\d.]+ (ms|s) speed [\d.]+ pictures per second peak memory [\d.]+ [MG]B batch size 4 ", facts
    )
    assert page.texts("h2") == ["Samples", "Losses", "Results", "Learning rates", "Speed", "Recipe", "Versions"]
    assert page.texts("nav") == [" ".join(page.texts("h2"))]


def test_its_pictures_are_those_of_the_run_by_step_and_the_last_is_shown(page: Page, run: Path) -> None:
    assert page.texts("h3")[:2] == ["latent", "reference"]
    images = [found for name, found, _ in page.elements if name == "img"]
    assert [found["alt"] for found in images] == [
        *(f"latent after step {step}" for step in (1, 2, 3, 4)),
        *(f"reference after step {step}" for step in (1, 2, 3, 4)),
    ]
    assert [n for n, found in enumerate(images) if "hidden" not in found] == [3, 7]
    with Image.open(run / "samples" / "step-00000003-latent.png") as original:
        kind, _, code = str(images[2]["src"]).partition(";base64,")
        assert kind == "data:image/webp"
        with Image.open(io.BytesIO(base64.b64decode(code))) as embedded:
            assert embedded.size == original.size
            assert (2 * original.width, 2 * original.height) == (int(images[2]["width"]), int(images[2]["height"]))
            differ = [
                abs(a - b)
                for a, b in zip(embedded.convert("L").tobytes(), original.convert("L").tobytes(), strict=True)
            ]
            assert sum(differ) / len(differ) < 3
    assert page.texts("p", class_="note")[1] == (
        "Top row: held-out sources. Other rows: translations, one style for each row, with its domain at the left."
    )


def test_its_curves_are_the_losses_as_logged_and_the_schedules_of_the_recipe(page: Page, run: Path) -> None:
    charts, lines = page.charts(), logged(run)
    assert page.texts("h3")[2:] == ["d_latent", "d_reference", "g_latent", "g_reference"]
    latent = charts[2]
    assert latent["x"] == [1, 2, 3, 4]
    for curve in latent["lines"]:
        assert curve["y"] == [pytest.approx(line[f"g_latent/{curve['name']}"], rel=1e-3) for line in lines]
    assert [line["name"] for line in latent["lines"]] == ["adversarial", "style", "diversity", "cycle"]
    assert latent["strip"] == {
        "x": [0, 1, 2, 3, 4],
        "lines": [{"name": "diversity", "y": [-1, -0.875, -0.75, -0.625, -0.5]}],
    }
    assert "strip" not in charts[0]
    rows = [row for row in page.texts("tr") if row.startswith("diversity ")]
    assert rows[0].startswith(f"diversity -1 to 0 over 8 steps {lines[0]['g_latent/diversity']:.4g} ")
    rates = {line["name"]: line["y"] for line in charts[4]["lines"]}
    assert rates == {
        "discriminator, generator, style_encoder": [0.001, 0.00075, 0.0005, 0.00025, 0],
        "mapping_network": [0.0001] * 5,
    }


def test_it_shows_results_versions_and_the_recipe_with_its_origins(page: Page, run: Path) -> None:
    results = json.loads((run / "eval" / "true_pairs.json").read_text())["flat -> high_contrast"]
    heads = "translated untranslated chance error translated error untranslated error random"
    assert page.texts("caption") == ["eval/true_pairs.json"] and heads in page.texts("tr")
    assert any(row.startswith(f"flat -> high_contrast {results['translated']:.4g} ") for row in page.texts("tr"))
    env = json.loads((run / "env.json").read_text())
    assert {f"torch {env['versions']['torch']}", "stargan_v2 0.1.0", "device cpu", "processes 1"} <= set(
        page.texts("tr")
    )
    assert page.texts("p", class_="command depth-0") == ["steps: 4 --set"]
    assert "use: stargan_v2/generator stargan_v2.yaml:19:10" in page.texts("p", class_="written depth-2")
    assert {"seed: 0", "tf32: true"} <= set(page.texts("p", class_="default depth-0"))
    assert "augment:" in page.texts("p", class_="default depth-1")  # nothing in it was set


def test_it_loads_nothing_and_runs_nothing_but_its_own(page: Page) -> None:
    named = [str(value) for _, found, _ in page.elements for key, value in found.items() if key in ("src", "href")]
    assert named and all(value.startswith(("data:image/webp;", "#")) or value == "data:," for value in named)
    (policy,) = [str(found["content"]) for _, found, _ in page.elements if "http-equiv" in found]
    assert policy.startswith("default-src 'none'; img-src data:; style-src 'sha256-")
    for name in ("style", "script"):
        own = re.findall(rf"<{name}>(.*?)</{name}>", page.text, re.DOTALL)
        assert len(own) == 1
        digest = base64.b64encode(hashlib.sha256(own[0].encode()).digest()).decode()
        assert f"{name}-src 'sha256-{digest}'" in policy


def test_what_a_run_calls_things_is_text(i2i, toy, tmp_path: Path) -> None:
    domain = HOSTILE.replace("/", "")  # which no name of a domain may hold
    assert (
        i2i(
            "train",
            "--recipe",
            "toy.yaml",
            *toy,
            "--run-dir",
            "run",
            "--set",
            f"data.domains=[{json.dumps(domain)}, b]",
        ).code
        == 0
    )
    (tmp_path / "run" / "status.json").write_text(json.dumps({"status": HOSTILE, "step": 3, "message": HOSTILE}))
    (tmp_path / "run" / "eval").mkdir()
    (tmp_path / "run" / "eval" / "own.json").write_text(json.dumps({HOSTILE: {HOSTILE: HOSTILE}}))
    with open(tmp_path / "run" / "metrics.jsonl", "a") as file:
        file.write(json.dumps({"step": 3, HOSTILE: 1.0, f"{HOSTILE}/\ud800": 2.0}) + "\n")
    Path("<b>&amp;").mkdir()
    (tmp_path / "run").rename("<b>&amp;/<i>")
    assert i2i("report", "<b>&amp;/<i>").code == 0
    page = Page(tmp_path / "<b>&amp;" / "<i>" / "report.html")
    assert page.texts("h1") == ["<i>"]
    assert page.texts("title") == ["<i> · i2i"]
    assert page.texts("p", class_="lead")[0].startswith(f"toy/method on toy/noise ({domain}, b) at ")
    assert page.texts("p", class_="message") == [HOSTILE]
    assert f"{HOSTILE} {HOSTILE}" in page.texts("tr")
    assert len(page.texts("script")) == 2 and len(page.texts("b")) == 0
    assert any(line["name"] == HOSTILE.partition("/")[2] for chart in page.charts() for line in chart["lines"])


def test_a_picture_of_any_height_is_shown(i2i, run: Path, tmp_path: Path) -> None:
    tall = Path(shutil.copytree(run, tmp_path / "tall"))
    Image.new("RGB", (100, 17000), "red").save(tall / "samples" / "step-00000001-tall.png")
    assert i2i("report", tall, "--to", tmp_path / "tall.html").code == 0
    assert "tall" in Page(tmp_path / "tall.html").texts("h3")


def test_a_run_that_has_only_begun_has_a_page(i2i, run: Path, tmp_path: Path) -> None:
    begun = tmp_path / "begun"
    begun.mkdir()
    shutil.copy(run / "recipe.yaml", begun)
    assert i2i("report", begun).code == 0
    page = Page(begun / "report.html")
    assert page.texts("h2") == ["Learning rates", "Recipe"]
    assert page.texts("span", class_="state unknown") == ["unknown"]
    assert page.texts("dl") == ["steps 0 of 4 batch size 4 pictures per step"]


def test_a_run_can_be_looked_at_while_it_trains_and_after_it_was_stopped(i2i, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    training = Processes(tmp_path / "logs", arguments(folder, "steps=5000", "hooks.latent.every=1"))
    wait_for(lambda: len(logged(folder)) >= 2, training.logs[0])
    before = sorted(path.name for path in folder.iterdir())
    assert i2i("report", folder, "--to", tmp_path / "now.html").code == 0
    assert {path.name for path in folder.iterdir()} - {"checkpoints"} == {*before} - {"checkpoints"}
    training.all[0].terminate()
    assert training.wait().codes == [75]
    now = Page(tmp_path / "now.html")
    (since,) = re.findall(r"running since [\d-]+ [\d:]+; last logged [\d-]+ [\d:]+", " ".join(now.texts("p")))
    assert since
    assert i2i("report", folder).code == 0
    stopped = Page(folder / "report.html")
    assert stopped.texts("span", class_="state stopped") == ["stopped"]
    assert stopped.texts("p", class_="message") == [status(folder)["message"]]


def test_damaged_lines_are_left_out_and_what_is_no_number_is_a_gap(i2i, copy: Path) -> None:
    metrics = copy / "metrics.jsonl"
    first, second, third, fourth = metrics.read_text().splitlines()
    missing = {**json.loads(third), "d_latent/r1": float("nan"), "d_latent/adversarial": "much"}
    metrics.write_text("\n".join([first, second[:40], "[1]", '{"step": "2"}', "\0", json.dumps(missing), fourth[:-9]]))
    assert i2i("report", copy).code == 0
    chart = Page(copy / "report.html").charts()[0]
    assert chart["x"] == [1, 3]
    assert [len(line["y"]) for line in chart["lines"]] == [2, 2]
    assert [line["y"][1] for line in chart["lines"]] == [None, None]


def test_many_pictures_and_lines_are_thinned_out_and_the_page_says_so(i2i, copy: Path) -> None:
    small = Image.new("RGB", (2000, 20))
    for step in range(10, 1010, 10):
        small.save(copy / "samples" / f"step-{step:08d}-many.png")
    row = logged(copy)[0]
    (copy / "metrics.jsonl").write_text(
        "".join(json.dumps({**row, "step": step, "d_latent/r1": step % 3}) + "\n" for step in range(1, 2501))
    )
    assert i2i("report", copy).code == 0
    page = Page(copy / "report.html")
    images = [found for name, found, _ in page.elements if name == "img" and "many" in str(found["alt"])]
    assert len(images) == 30
    assert [images[0]["data-step"], images[-1]["data-step"]] == ["10", "1000"]
    assert "30 of 100 pictures, evenly spaced; all are in the folder samples of the run." in page.texts(
        "p", class_="note"
    )
    with Image.open(io.BytesIO(base64.b64decode(str(images[0]["src"]).partition(",")[2]))) as picture:
        assert picture.size == (1200, 12) == (int(images[0]["width"]), int(images[0]["height"]))
    chart = page.charts()[0]
    assert chart["x"] == [*range(3, 2500, 3), 2500]
    assert chart["lines"][1]["y"] == [1.0] * 834  # each the mean of three steps
    assert (
        "Losses without their weights. Faint lines: logged values. Strong lines: smoothed values. A point is the mean "
        "of 3 logged steps." in page.texts("p", class_="note")
    )


def test_a_broken_picture_is_left_out_with_a_warning(i2i, copy: Path) -> None:
    broken = copy / "samples" / "step-00000002-latent.png"
    broken.write_bytes(broken.read_bytes()[:2000])
    answer = i2i("report", copy)
    assert (answer.code, answer.err) == (0, f"warning: {broken} cannot be used as a picture: cut short\n")
    assert "latent after step 2" not in (copy / "report.html").read_text()


def test_what_cannot_be_done_is_one_sentence(i2i, run: Path, tmp_path: Path) -> None:
    answer = i2i("report", tmp_path)
    assert (answer.code, answer.err) == (2, f"{tmp_path} is not the folder of a run: it has no recipe.yaml\n")
    there = tmp_path / "there.html"
    there.write_text("mine")
    answer = i2i("report", run, "--to", there)
    assert (answer.code, answer.err) == (
        2,
        f"{there} would be overwritten; choose another place, or allow it with --overwrite\n",
    )
    assert there.read_text() == "mine"
    answer = i2i("report", run, "--to", there / "page.html")
    assert (answer.code, answer.err) == (74, f"{there}/page.html cannot be written: File exists\n")
    assert i2i("report", run, "--to", there, "--overwrite").code == 0
    assert there.read_text().startswith("<!doctype html>")


def test_a_report_imports_neither_torch_nor_any_plugin(run: Path, tmp_path: Path) -> None:
    words = ["report", str(run), "--to", str(tmp_path / "page.html")]
    code = (
        f"import sys\nfrom i2i_cli.main import main\ntry:\n    main({words!r})\n"
        f"except SystemExit as done:\n    assert not done.code\n"
        f"print(sorted({{'torch', 'accelerate', 'safetensors', 'i2i_stargan_v2'}} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"
