"""`i2i demo` in a browser. The picture in docs/demo.md:

python -m tests.browser runs/stargan_v2-001 docs/images/page.webp
"""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from PIL import Image
from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.support.wait import WebDriverWait

from tests.chromium import chromium


@contextmanager
def demo(model: Path, folder: Path, *arguments: object) -> Iterator[str]:
    """`i2i demo` as a process whose temporary files are in `folder`; gives its address, and ends it as Ctrl-C does."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "TMPDIR": str(folder)}
    with subprocess.Popen(
        [sys.executable, "-m", "i2i_cli", "demo", str(model), "--device", "cpu", *map(str, arguments)],
        text=True,
        stdout=subprocess.PIPE,
        env=environment,
    ) as process:
        try:
            assert process.stdout is not None
            yield process.stdout.readline().strip()
            process.send_signal(signal.SIGINT)
            assert process.wait(20) == 0
        finally:
            process.kill()


class Shown:
    """The page as it is shown."""

    def __init__(self, browser: webdriver.Chrome, address: str) -> None:
        self.browser = browser
        browser.get(address)
        self.one("#picture input[type=file]")

    def all(self, selector: str) -> list[Any]:
        return self.browser.find_elements(By.CSS_SELECTOR, selector)

    def one(self, selector: str) -> Any:
        """The first such element, as soon as there is one."""
        return self.until(lambda: self.all(selector))[0]

    def until(self, condition: Any) -> Any:
        return WebDriverWait(self.browser, 20, 0.05).until(lambda _: condition())

    def drop(self, picture: Path, into: str = "#picture") -> None:
        self.one(f"{into} input[type=file]").send_keys(str(picture))

    def translation(self) -> str:
        """What the download holds, as a data: address."""
        return str(self.one("a.download").get_attribute("href"))

    def changes(self, before: str) -> str:
        """The translation as soon as it is another one."""
        self.until(lambda: self.translation() != before)
        return self.translation()

    def settles(self, before: str) -> str:
        """The translation when it is another one and has stayed the same for a second."""
        after = self.changes(before)
        while True:
            time.sleep(1)
            if after == (after := self.translation()):
                return after


def draw(model: Path, file: Path) -> None:
    """The page with a held-out emoji, translated."""
    from i2i_emoji.drawings import Drawings

    with tempfile.TemporaryDirectory() as folder, demo(model, Path(folder)) as address, chromium(1200, 860) as browser:
        page = Shown(browser, address)
        Drawings(split="val").picture(0, 151).save(Path(folder) / "emoji.png")
        page.drop(Path(folder) / "emoji.png")
        page.one(".styles img")
        page.all(".styles input")[2].find_element(By.XPATH, "..").click()
        page.changes(page.translation())
        shot = Image.open(io.BytesIO(browser.get_screenshot_as_png()))
        shot.convert("RGB").save(file, quality=85, method=6)


if __name__ == "__main__":
    draw(Path(sys.argv[1]), Path(sys.argv[2]))
