"""i2i demo as a person uses it with models of other formats, and with further inputs: in headless Chromium."""

from __future__ import annotations

import base64
import io
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from PIL import Image
from selenium.webdriver import ActionChains, Keys

from tests.browser import Shown, demo
from tests.chromium import chromium, requests
from tests.drawn import trained

pytestmark = pytest.mark.slow
WIDTH, HEIGHT = 24, 16


@pytest.fixture(scope="module")
def address(call: Callable[..., Any], drawn: Path, tmp_path_factory: Any) -> Iterator[Callable[..., str]]:
    """The address of the page of a model of `tests.drawn`."""
    with ExitStack() as open_pages:

        @cache
        def served(*names: str) -> str:
            run, plugin = trained(call, drawn, *names)
            folder = tmp_path_factory.mktemp("temporary")
            open_pages.callback(lambda: folders.append(list(folder.iterdir())))
            return open_pages.enter_context(demo(run, folder, "--plugin", plugin))

        folders: list[list[Path]] = []
        yield served
    assert folders and not any(folders)  # nothing stays


@pytest.fixture
def files(tmp_path: Path) -> dict[str, Path]:
    """A grey photo, a mask of its left half and a label map."""
    ids = np.zeros((2 * HEIGHT, 2 * WIDTH), np.uint8)
    ids[:, :WIDTH] = 1
    found = {name: tmp_path / f"{name}.png" for name in ("photo", "mask", "map", "small")}
    Image.new("RGB", (2 * WIDTH, 2 * HEIGHT), (200, 200, 200)).save(found["photo"])
    Image.fromarray(255 * ids).save(found["mask"])
    Image.fromarray(ids).save(found["map"])
    Image.new("L", (9, 9)).save(found["small"])
    return found


@contextmanager
def opened(address: str, width: int = 1280, height: int = 1000, phone: bool = False) -> Iterator[Shown]:
    with chromium(width, height, phone) as browser:
        yield Shown(browser, address)


def contents(page: Shown) -> bytes:
    return base64.b64decode(page.translation().partition(",")[2])


def made(page: Shown) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(contents(page)))).astype(int)


UNNAMED = """
return [...document.querySelectorAll("#page input, #page button, #page canvas, #page select")].filter(part =>
  part.offsetParent && !(part.ariaLabel || part.title || part.innerText || part.closest("label")?.innerText
  || (part.labels && part.labels.length) || part.type === "file")).map(part => part.outerHTML)
"""
CONTRAST = """
const light = colour => {
  const linear = n => n <= .03928 ? n / 12.92 : ((n + .055) / 1.055) ** 2.4;
  const [r, g, b] = colour.match(/[\\d.]+/g).map(n => linear(n / 255));
  return .2126 * r + .7152 * g + .0722 * b;
};
return [...document.querySelectorAll(arguments[0])].map(part => {
  let behind = part;
  while (behind && /, 0\\)$|transparent/.test(getComputedStyle(behind).backgroundColor)) behind = behind.parentElement;
  const one = light(getComputedStyle(part).color);
  const two = light(behind ? getComputedStyle(behind).backgroundColor : "rgb(255, 255, 255)");
  return [part.innerText, (Math.max(one, two) + .05) / (Math.min(one, two) + .05)];
})
"""


def test_a_label_map_is_uploaded_and_shown_in_the_colours_of_its_legend(address: Any, files: dict[str, Path]) -> None:
    with opened(address("labels", "photos")) as page:
        page.drop(files["photo"])
        assert page.one("#picture [role=alert]").text.startswith("photo.png cannot be used as a picture: ")
        page.drop(files["map"])
        assert page.one("a.download").get_attribute("download") == "map-photos.png"
        assert page.all("#picture [role=alert]") == []
        source = page.one("#result img").get_attribute("src")
        with Image.open(io.BytesIO(base64.b64decode(source.partition(",")[2]))) as shown:
            assert {colour for _, colour in shown.getcolors()} == {(0, 0, 0), (200, 30, 30)}
        assert [item.text.split() for item in page.all("#picture .legend li")] == [
            ["0", "#000000"],
            ["1", "#c81e1e"],
            ["2", "#1e5adc"],
        ]
        contrasts = page.browser.execute_script(CONTRAST, ".legend li, .legend summary, #result a + span, figcaption")
        assert len(contrasts) == 7
        assert [text for text, contrast in contrasts if contrast < 4.5] == []
        assert page.browser.execute_script(UNNAMED) == []


def test_a_raster_is_downloaded_as_a_tiff_of_16_bits(address: Any, files: dict[str, Path]) -> None:
    with opened(address("photos", "bands")) as page:
        page.drop(files["photo"])
        assert page.one("a.download").get_attribute("download") == "photo-bands.tif"
        assert page.one("a.download + span").text == "TIF, 24 × 16, 4 channels of uint16"
        bands = tifffile.imread(io.BytesIO(contents(page)))
        assert (bands.shape, bands.dtype) == ((HEIGHT, WIDTH, 4), np.uint16)
        assert bands.max() > 255


def test_a_raster_is_uploaded(address: Any, files: dict[str, Path], tmp_path: Path) -> None:
    bands = np.random.default_rng(0).integers(10001, size=(32, 48, 4)).astype(np.uint16)
    np.save(tmp_path / "field.npy", bands)
    with opened(address("bands", "labels"), 390, 844, phone=True) as page:
        np.save(tmp_path / "grey.npy", bands[..., 0])
        page.drop(tmp_path / "grey.npy")
        said = page.one("#picture [role=alert]").text
        assert said == (
            "grey.npy cannot be used as a picture: its shape is (32, 48, 1), and it should be (height, width, 4)"
        )
        page.drop(tmp_path / "field.npy")
        assert page.one("a.download").get_attribute("download") == "field-labels.png"
        with Image.open(io.BytesIO(contents(page))) as picture:
            assert picture.mode == "P"
        assert page.browser.execute_script("return document.documentElement.scrollWidth") == 390


def test_a_mask_is_painted_with_the_pointer_or_keys_or_uploaded(address: Any, files: dict[str, Path]) -> None:
    site = address("photos", "drawings", "all")
    with opened(site) as page:
        page.drop(files["photo"])
        whole = page.translation()
        page.one("#picture input[value=retouch]").click()
        page.until(lambda: page.one("#result").text == "Add the input mask.")
        canvas = page.one(".easel canvas")
        by_hand = ActionChains(page.browser)
        by_hand.move_to_element(canvas).click_and_hold().move_by_offset(80, 0).release().perform()
        first = page.translation()
        changed = made(page)[..., 0] != 200
        assert first != whole and changed[HEIGHT // 2, WIDTH // 2 + 2]
        assert not changed[:4].any() and not changed[:, : WIDTH // 2 - 3].any()
        page.browser.execute_script("arguments[0].focus()", canvas)
        keys = ActionChains(page.browser)
        keys.key_down(Keys.SPACE).send_keys(*[Keys.ARROW_UP] * 4).key_up(Keys.SPACE).perform()
        page.changes(first)
        assert (made(page)[..., 0] != 200).sum() > changed.sum()
        page.one(".tools [name=clear]").click()
        page.until(lambda: (made(page)[..., 0] == 200).all())
        assert page.browser.execute_script(UNNAMED) == []
        contrasts = page.browser.execute_script(CONTRAST, ".tools label, .tools button, .title h2")
        assert len(contrasts) == 4 and all(contrast >= 4.5 for _, contrast in contrasts)
        page.drop(files["small"], "#choices")
        said = "the input mask has 9 x 9 pixels, and the picture 48 x 32; make them equal"
        assert page.one("#choices [role=alert]").text == said
        page.drop(files["mask"], "#choices")
        page.until(lambda: (made(page)[:, : WIDTH // 2, 0] != 200).all())
        assert (made(page)[:, WIDTH // 2 :, 0] == 200).all()
        assert [
            url for url in requests(page.browser) if not url.startswith((site.partition("?")[0], "data:", "blob:"))
        ] == []


def test_numbers_are_sliders_that_keys_move(address: Any, files: dict[str, Path]) -> None:
    with opened(address("photos", "drawings", "all"), 390, 844, phone=True) as page:
        page.drop(files["photo"])
        first = page.translation()
        page.one("#picture input[value=tune]").click()
        darkest = page.settles(first)
        dark = made(page).mean()
        slider = page.one("#choices input[type=range][aria-label*=light]")
        slider.send_keys(*[Keys.ARROW_RIGHT] * 20)
        page.settles(darkest)
        assert made(page).mean() > dark + 5
        assert page.browser.execute_script("return document.documentElement.scrollWidth") == 390
        assert page.browser.execute_script(UNNAMED) == []
        page.one("#picture input[value=back]").click()
        page.until(lambda: page.one("#result").text == "The translation appears here.")
        assert page.one("#about p").text == "Translates pictures into photos, at 24 × 16 pixels."
        assert page.all("#choices input[type=range]") == []
        page.drop(files["photo"])
        page.until(lambda: page.all("a.download") and (made(page) == 55).all())
