"""The page about a run in a browser: what a person sees and does, and that no request leaves it."""

from __future__ import annotations

import base64
import io
import json
import re
import shutil
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from PIL import Image
from selenium.webdriver import ActionChains, Keys

from i2i.report.page import page
from i2i.report.run_report import read
from tests.chromium import Browser, chromium, requests
from tests.runs import train

pytestmark = pytest.mark.slow

HOSTILE = '"><img src=x onerror="document.title=1"><script>document.title=1</script>'
SHOWN = "[...document.querySelectorAll('.family img')].filter((i) => i.checkVisibility()).map((i) => i.alt)"


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page about four steps of the quick start at a tiny size, which call a few things by hostile names."""
    folder = tmp_path_factory.mktemp("browser") / "run"
    train(
        folder,
        "steps=4",
        "losses.generator.diversity.weight={ramp: [-1, 0], over: 8}",
        "hooks.latent.every=1",
        "hooks.checkpoint=null",
    )
    (folder / "eval").mkdir()
    (folder / "eval" / "own.json").write_text(json.dumps({HOSTILE: HOSTILE}))
    with open(folder / "metrics.jsonl", "a") as metrics:
        metrics.write(json.dumps({"step": 4, f"{HOSTILE}/</script>": 1.0}) + "\n")
    shutil.copy(folder / "samples" / "step-00000004-latent.png", folder / "samples" / "step-00000004-a'b<i>.png")
    file = folder / "report.html"
    file.write_text(page(read(folder), warn=pytest.fail), encoding="utf-8")
    return file


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as driver:
        yield Browser(driver)


def test_the_slider_shows_the_pictures_of_a_family_and_arrow_keys_move_it(browser: Browser, file: Path) -> None:
    browser.open(file)
    assert browser.run(SHOWN) == ["latent after step 4", "reference after step 4", "a'b<i> after step 4"]
    slider = "document.querySelector('#slider-0')"
    assert browser.run(f"{slider}.labels[0].textContent") == "after step"
    browser.run(f"{slider}.focus()")
    before = seen(browser, 0)
    ActionChains(browser.driver).send_keys(Keys.ARROW_LEFT).perform()
    assert browser.run(SHOWN)[:2] == ["latent after step 3", "reference after step 4"]
    assert browser.run(f"{slider}.getAttribute('aria-valuetext')") == "after step 3"
    assert browser.run("document.querySelectorAll('output')[0].textContent") == "3"
    assert seen(browser, 0) != before
    ActionChains(browser.driver).send_keys(Keys.HOME).perform()
    assert browser.run(SHOWN)[0] == "latent after step 1"
    for _ in range(3):
        ActionChains(browser.driver).send_keys(Keys.ARROW_RIGHT).perform()
    assert browser.run(SHOWN)[0] == "latent after step 4"
    assert seen(browser, 0) == before


def seen(browser: Browser, family: int) -> bytes:
    """The pixels of a family's picture."""
    browser.run("document.documentElement.scrollTo(0, 0)")
    box = browser.run(f"document.querySelectorAll('.pictures')[{family}].getBoundingClientRect().toJSON()")
    clip = {key: box[key] for key in ("x", "y", "width", "height")}
    png = browser.call("Page.captureScreenshot", format="png", captureBeyondViewport=True, clip={**clip, "scale": 1})
    return Image.open(io.BytesIO(base64.b64decode(png["data"]))).tobytes()


def test_every_curve_is_drawn_also_on_a_logarithmic_scale(browser: Browser, file: Path) -> None:
    browser.open(file)
    curves = (
        "[...document.querySelectorAll('.plot')].map((p) => [...p.querySelectorAll('path')].map((c) => "
        "c.getAttribute('d').split(/[ML]/).length - 1))"
    )
    drawn = browser.run(curves)
    assert drawn == [[4, 4], [4, 4], [4, 4, 4, 4, 5], [4, 4, 4, 4, 5], [1], [5], [3]]
    labels = "[...document.querySelector('.plot').querySelectorAll('text')].map((t) => t.textContent)"
    linear = browser.run(labels)
    assert "0" in linear and "-0" not in linear
    browser.run("document.querySelector('#logarithmic').click()")
    assert browser.run(curves) == drawn
    assert browser.run(labels) != linear


def test_the_tables_say_the_values_at_the_pointer(browser: Browser, file: Path) -> None:
    browser.open(file)
    cells = "[...document.querySelectorAll('.chart .now')].slice(0, 3).map((cell) => cell.textContent)"
    last = browser.run(cells)
    assert last[0] == "last"
    box = browser.run(
        "document.querySelector('.plot').scrollIntoView({block: 'center'}), "
        "document.querySelector('.plot').getBoundingClientRect().toJSON()"
    )
    middle = {"x": box["x"] + 46 + (box["width"] - 52) / 2, "y": box["y"] + 50}
    browser.call("Input.dispatchMouseEvent", type="mouseMoved", **middle)
    first = json.loads((file.parent / "metrics.jsonl").read_text().splitlines()[1])
    said = browser.run(cells)
    assert said[0] == "at 2"
    assert [float(value) for value in said[1:]] == [
        pytest.approx(first[f"d_latent/{term}"], rel=1e-3) for term in ("adversarial", "r1")
    ]
    browser.call("Input.dispatchMouseEvent", type="mouseMoved", x=1, y=1)
    assert browser.run(cells) == last


@pytest.mark.parametrize(("width", "dark"), [(1280, False), (768, True), (360, True)])
def test_it_fits_its_window_and_follows_the_light(browser: Browser, file: Path, width: int, dark: bool) -> None:
    browser.open(file, width=width, dark=dark)
    assert browser.run("document.documentElement.scrollWidth") <= width
    (red, *_) = json.loads(
        browser.run("getComputedStyle(document.documentElement).backgroundColor")[3:]
        .replace("(", "[")
        .replace(")", "]")
    )
    assert (red < 60) == dark
    shift = browser.run(
        "new Promise((done) => { let sum = 0; new PerformanceObserver((list) => { for (const entry of "
        "list.getEntries()) sum += entry.value; }).observe({type: 'layout-shift', buffered: true}); "
        "setTimeout(() => done(sum), 100); })"
    )
    assert shift < 0.01


@pytest.mark.parametrize("dark", [False, True])
def test_its_text_can_be_read_against_its_background(browser: Browser, file: Path, dark: bool) -> None:
    """WCAG 2: 4.5 to 1 for text, 3 to 1 for curves."""
    browser.open(file, dark=dark)
    names = ["--paper", "--ink", "--soft", "--accent", *(f"--c{n}" for n in range(8))]
    paper, ink, soft, accent, *curves = [
        luminance(browser.run(f"getComputedStyle(document.documentElement).getPropertyValue('{name}')"))
        for name in names
    ]
    for text in (ink, soft, accent):
        assert contrast(text, paper) >= 4.5
    assert min(contrast(curve, paper) for curve in curves) >= 3


def luminance(colour: str) -> float:
    """WCAG's, of #rrggbb."""
    parts = [int(colour.strip()[place : place + 2], 16) / 255 for place in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(a: float, b: float) -> float:
    return (max(a, b) + 0.05) / (min(a, b) + 0.05)


class Counting(BaseHTTPRequestHandler):
    """A server that remembers what was asked of it."""

    asked: list[str] = []

    def do_GET(self) -> None:
        self.asked.append(self.path)
        self.send_response(204)
        self.send_header("Access-Control-Allow-Origin", "*")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[str]:
    Counting.asked.clear()
    server = HTTPServer(("127.0.0.1", 0), Counting)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def test_no_request_leaves_it_even_if_code_in_it_tried(
    browser: Browser, file: Path, server: str, tmp_path: Path
) -> None:
    browser.open(file)
    assert browser.driver.get_log("browser") == []
    loaded = requests(browser.driver)
    assert loaded[0] == file.as_uri() and {urlsplit(url).scheme for url in loaded} == {"file", "data"}
    assert browser.run(f"fetch('{server}/fetch').then(() => 'went', () => 'stopped')") == "stopped"
    load = (
        "new Promise((done) => {{ const e = document.createElement('{0}'); e.onload = () => done('went'); "
        "e.onerror = () => done('stopped'); e.src = '{1}/{0}'; document.body.append(e); }})"
    )
    for element in ("img", "script"):
        assert browser.run(load.format(element, server)) == "stopped"
    assert Counting.asked == []
    free = tmp_path / "free.html"
    free.write_text(re.sub(r'<meta http-equiv="Content-Security-Policy"[^>]*>', "", file.read_text()))
    browser.open(free)  # without its policy the server hears it
    assert browser.run(f"fetch('{server}/control').then(() => 'went', () => 'stopped')") == "went"
    assert Counting.asked == ["/control"]


def test_names_that_look_like_code_do_nothing(browser: Browser, file: Path) -> None:
    browser.open(file)
    assert browser.run("document.title") == "run · i2i"
    assert browser.run("document.querySelector('#results table').textContent").count(HOSTILE) == 2
    titles = browser.run("[...document.querySelectorAll('h3')].map((h) => h.textContent)")
    assert titles.count(HOSTILE.partition("/")[0]) == 1
    assert browser.run("document.scripts.length") == 2
    injected = (
        "document.body.insertAdjacentHTML('beforeend', '<img src=x onerror=\"document.title = 1\">'), "
        "new Promise((done) => setTimeout(() => done(document.title), 200))"
    )
    assert browser.run(injected) == "run · i2i"  # were something not escaped, the policy would not run it
