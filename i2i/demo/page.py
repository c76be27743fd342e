"""The page: its layout and its event handlers."""

from __future__ import annotations

import html
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import gradio as gr
from gradio.utils import get_upload_folder

from i2i import Translator
from i2i.demo.markup import alert, figures, placeholder, style_buttons, translated
from i2i.demo.visit import SEEDS, Choice, Visit
from i2i_core.errors import DataError, I2IError

LATENTS, REFERENCE = "latents", "a reference"
FORGET = 60
"""Seconds after which an unread upload is deleted; a read upload is deleted at once."""
PATIENCE = 0.5
"""Seconds after which an unfinished grid is shown."""
FIRST = "The translation appears here."
CHOSEN = "element.addEventListener('change', event => trigger('select', {seed: event.target.value}))"
QUIET: dict[str, Any] = {"api_visibility": "private", "show_progress": "hidden", "concurrency_limit": None}
BUSY = {**QUIET, "show_progress": "minimal"}
LIVE = {**QUIET, "trigger_mode": "always_last"}
"""Options of events: without a progress indicator, with one, and with only the latest event of a moving slider."""


def build(model: Translator) -> gr.Blocks:
    """Build the page for a model. Pictures of a visitor are kept in memory until the page is closed."""
    page = gr.Blocks(
        title=f"i2i: {model.model.name}", analytics_enabled=False, fill_width=True, delete_cache=(FORGET, FORGET)
    )
    with page:
        Page(model)
    page.queue(max_size=32, api_open=False)
    return page


class Page:
    """The parts of the page, in keyboard order."""

    def __init__(self, model: Translator) -> None:
        self.model, self.visit = model, gr.State()
        height, width = model.image_size
        guides = [name for style, name in (("latent", LATENTS), ("reference", REFERENCE)) if model.use_of(style)]
        with gr.Column(elem_id="page"):
            gr.HTML(
                f"<h1>{html.escape(model.model.name)}</h1><p>Translates pictures into "
                f"{html.escape(' or '.join(model.targets))}, at {width} × {height} pixels.</p>",
                elem_id="about",
            )
            with gr.Column(elem_id="picture"):
                self.picture, self.problem = drop("Picture")
            self.result = gr.HTML(placeholder(FIRST), elem_id="result")
            with gr.Column(elem_id="choices"):
                self.domain = gr.Radio(
                    [*model.targets], value=model.targets[-1], label="Target domain", visible=len(model.targets) > 1
                )
                self.first = Picker(self, 0, "Style", guides)
                self.psi = gr.Slider(
                    0,
                    1,
                    1,
                    step=0.05,
                    label="Truncation ψ",
                    info="0: the mean style of the domain. 1: the style as the model makes it.",
                    visible=any(use.has_mean for use in model.uses.values()),
                )
                self.blend = gr.Checkbox(label="Blend with a second style", visible=bool(guides))
                with gr.Column(visible=False, elem_classes="parts") as second:
                    self.share = gr.Slider(
                        0, 1, 0.5, step=0.01, label="Blend", info="0: the first style. 1: the second style."
                    )
                    self.second = Picker(self, 1, "Second style", guides)
                with gr.Accordion("Masks", open=False, visible="masks" in model.model.config.tensors):
                    self.masks = gr.HTML(placeholder("The masks of the model appear here."))
        self._connect(second)

    def _connect(self, second: gr.Column) -> None:
        pickers = self.first, self.second
        chosen = [
            self.visit,
            self.domain,
            self.psi,
            self.blend,
            self.share,
            *(part for picker in pickers for part in (picker.guide, picker.seed)),
        ]
        show = {"fn": self._show, "inputs": chosen, "outputs": self.result}
        brought = self.picture.input(
            self._bring,
            [self.picture, self.visit],
            [self.visit, self.picture, self.problem, self.masks],
            preprocess=False,
            **BUSY,
        )
        brought = brought.then(**show, **BUSY)
        self.blend.input(lambda on: gr.Column(visible=on), self.blend, second, **QUIET)
        for picker in pickers:
            brought = picker.connect(brought, show)
        gr.on([part.input for part in (self.domain, self.psi, self.blend, self.share)], **show, **LIVE)

    def _bring(self, upload: dict[str, Any] | None, visit: Visit | None) -> Any:
        if upload is None:  # the camera was opened
            return gr.skip()
        visit = visit or Visit(self.model)
        problem = received(upload, visit.bring)
        masks = [
            (mask, f"mask {n}", f"Your picture in grey, with the area of mask {n} in orange")
            for n, mask in enumerate(visit.masks() if visit.ready else [], 1)
        ]
        return visit, None, problem, figures(masks)

    def _show(self, visit: Visit | None, domain: str, psi: float, blend: bool, share: float, *chosen: Any) -> str:
        if visit is None or not visit.ready:
            return placeholder(FIRST)
        choices = [
            Choice(slot, seed, guide == REFERENCE)
            for slot, (guide, seed) in enumerate(zip(chosen[::2], chosen[1::2], strict=True))
        ]
        try:
            made = visit.translation(domain, psi, choices if blend else choices[:1], share)
        except I2IError as error:
            return placeholder(str(error))
        return translated(visit.source, made, domain, visit.name)


class Picker:
    """The choice of a style: one of a grid of styles from latents, or the style of a reference."""

    def __init__(self, page: Page, slot: int, label: str, guides: list[str]) -> None:
        self.page, self.slot, self.label = page, slot, label
        self.seed, self.start = gr.State(slot), gr.State(0)
        self.guide = gr.Radio(guides, value=next(iter(guides), None), label=f"{label} from", visible=len(guides) > 1)
        with gr.Column(visible=guides[:1] == [LATENTS], elem_classes="parts") as self.latents:
            self.grid = gr.HTML(
                placeholder("Choose a style here after you add a picture."), elem_classes="styles", js_on_load=CHOSEN
            )
            self.others = gr.Button("More styles", size="md")
        with gr.Column(visible=guides[:1] == [REFERENCE], elem_classes="parts") as self.reference:
            self.picture, self.problem = drop("Reference" if slot == 0 else "Second reference")

    def connect(self, brought: Any, show: dict[str, Any]) -> Any:
        """Connect its event handlers; the grid is drawn after `brought`. Returns the event to follow the grid."""
        page = self.page
        draw = {
            "fn": self._draw,
            "outputs": self.grid,
            "inputs": [page.visit, page.domain, page.psi, page.blend, self.guide, self.seed, self.start],
        }
        gr.on([page.domain.input, page.psi.input, page.blend.input, self.guide.input], **draw, **LIVE)
        self.others.click(lambda start: start + SEEDS, self.start, self.start, **QUIET).then(**draw, **BUSY)
        self.grid.select(self._choose, None, self.seed, **QUIET).then(**show, **QUIET)
        self.guide.input(
            lambda guide: (gr.Column(visible=guide == LATENTS), gr.Column(visible=guide == REFERENCE)),
            self.guide,
            [self.latents, self.reference],
            **QUIET,
        ).then(**show, **QUIET)
        self.picture.input(
            self._bring, [self.picture, page.visit], [page.visit, self.picture, self.problem], preprocess=False, **BUSY
        ).then(**show, **QUIET)
        return brought.then(**draw, **BUSY)

    def _draw(
        self, visit: Visit | None, domain: str, psi: float, blend: bool, guide: str | None, seed: int, start: int
    ) -> Iterator[Any]:
        """Draw the grid; yields unfinished grids if the model is slow."""
        if visit is None or not visit.ready or guide != LATENTS or (self.slot and not blend):
            yield gr.skip()
            return
        made, shown = {}, time.monotonic()
        for n in range(start, start + SEEDS):
            made[n] = visit.translation(domain, psi, [Choice(self.slot, n)])
            if time.monotonic() - shown > PATIENCE or len(made) == SEEDS:
                yield style_buttons(self.label, f"style-{self.slot}", made, seed)
                shown = time.monotonic()

    def _choose(self, event: gr.EventData) -> int:
        return int(event._data["seed"])

    def _bring(self, upload: dict[str, Any] | None, visit: Visit | None) -> Any:
        if upload is None:
            return gr.skip()
        visit = visit or Visit(self.page.model)
        problem = received(upload, lambda file, _: visit.bring_reference(self.slot, file))
        if self.slot not in visit.references:
            return visit, None, problem
        shown = figures([(visit.references[self.slot], "", "The reference, resized for the model")])
        return visit, None, problem + shown


def drop(label: str) -> tuple[gr.Image, gr.HTML]:
    """Make an input for a picture, and an output for its problems. The input never shows the picture."""
    picture = gr.Image(
        sources=["upload", "clipboard", "webcam"],
        type="filepath",
        image_mode=None,
        label=label,
        height=200,
        buttons=[],
        elem_classes="drop",
    )
    return picture, gr.HTML(elem_classes="problem")


def received(upload: dict[str, Any], take: Callable[[Path, str], bool]) -> str:
    """Pass an upload to `take`, delete it, and return HTML with its problem, if there is one.

    Raises PermissionError for a path outside the folder of uploads: a request may name any path of this machine.
    """
    file, name = Path(upload["path"]).resolve(), upload.get("orig_name") or "The picture"
    if not file.is_relative_to(Path(get_upload_folder()).resolve()):
        raise PermissionError(f"{file} is not an upload")
    try:
        known = take(file, name)
    except DataError as error:
        return alert(str(error).replace(str(file), name))
    finally:
        file.unlink(missing_ok=True)
        with suppress(OSError):
            file.parent.rmdir()
    return "" if known else alert(f"No face was found in {name}, but the model was trained on faces.")
