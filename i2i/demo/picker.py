"""The choice of a style."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import gradio as gr

from i2i.demo.controls import BUSY, LIVE, QUIET, Host, drop, on_upload, received
from i2i.demo.groups import Group
from i2i.demo.markup import figures, placeholder, style_buttons
from i2i.demo.visit import SEEDS, Choice, Visit
from i2i_core.plan.uses import LATENT, REFERENCE

LATENTS, A_REFERENCE = "latents", "a reference"
PATIENCE = 0.5
"""Seconds after which an unfinished grid is shown."""
CHOSEN = "element.addEventListener('change', event => trigger('select', {seed: event.target.value}))"
NO_GRID = "Choose a style here after you add a picture."


def guides(group: Group) -> list[str]:
    """Return what the style of a group can come from; it has none for methods without styles."""
    return [name for style, name in ((LATENT, LATENTS), (REFERENCE, A_REFERENCE)) if group.of(style)]


class Picker:
    """The choice of a style: one of a grid of styles from latents, or the style of a reference."""

    def __init__(self, page: Host, slot: int, label: str) -> None:
        self.page, self.slot, self.label = page, slot, label
        first = next(iter(page.groups.values()))
        names = guides(first)
        self.seed, self.start = gr.State(slot), gr.State(0)
        self.guide = gr.Radio(names, value=next(iter(names), None), label=f"{label} from", visible=len(names) > 1)
        with gr.Column(visible=names[:1] == [LATENTS], elem_classes="parts") as self.latents:
            self.grid = gr.HTML(placeholder(NO_GRID), elem_classes="styles", js_on_load=CHOSEN)
            self.others = gr.Button("More styles", size="md")
        self.references = {
            group.name: self._reference(group, first, names) for group in page.groups.values() if group.of(REFERENCE)
        }

    def _reference(self, group: Group, first: Group, names: list[str]) -> tuple[gr.Column, Any, gr.HTML]:
        use = group.of(REFERENCE)
        assert use is not None
        visible = group is first and names[:1] == [A_REFERENCE]
        with gr.Column(visible=visible, elem_classes="parts") as column:
            file, problem = drop("Reference" if self.slot == 0 else "Second reference", use.reference.format)
        return column, file, problem

    @property
    def parts(self) -> list[Any]:
        """The components that another use or another source of the style shows or hides."""
        return [self.latents, *(column for column, *_ in self.references.values())]

    def showing(self, use: str, guide: str | None) -> list[gr.Column]:
        """Return updates of `parts`."""
        return [
            gr.Column(visible=guide == LATENTS),
            *(gr.Column(visible=guide == A_REFERENCE and name == use) for name in self.references),
        ]

    def switched(self, group: Group) -> list[Any]:
        """Return updates of the guide, the grid and `parts` for another group of uses."""
        names = guides(group)
        guide = next(iter(names), None)
        radio = gr.Radio(names, value=guide, visible=len(names) > 1)
        return [radio, placeholder(NO_GRID), *self.showing(group.name, guide)]

    def connect(self, show: dict[str, Any], draw_after: list[Any]) -> None:
        """Connect its event handlers. show: the event that shows a translation; draw_after: triggers of the grid."""
        page = self.page
        gr.on([*draw_after, self.guide.input], **self.drawing, **LIVE)
        self.others.click(lambda start: start + SEEDS, self.start, self.start, **QUIET).then(**self.drawing, **BUSY)
        self.grid.select(self._choose, None, self.seed, **QUIET).then(**show, **QUIET)
        self.guide.input(self.showing, [page.use, self.guide], self.parts, **QUIET).then(**show, **QUIET)
        for _, file, problem in self.references.values():
            on_upload(file, self._bring, [file, page.visit, page.use], [page.visit, file, problem]).then(
                **show, **QUIET
            )

    @property
    def drawing(self) -> dict[str, Any]:
        """The event that draws the grid."""
        page = self.page
        return {
            "fn": self._draw,
            "outputs": self.grid,
            "inputs": [page.visit, page.use, page.domain, page.psi, page.blend, self.guide, self.seed, self.start],
        }

    def _draw(
        self,
        visit: Visit | None,
        use: str,
        domain: str,
        psi: float,
        blend: bool,
        guide: str | None,
        seed: int,
        start: int,
    ) -> Iterator[Any]:
        """Draw the grid; yields unfinished grids if the model is slow."""
        group = self.page.groups[use]
        if visit is None or visit.missing(group) is not None or guide != LATENTS or (self.slot and not blend):
            yield gr.skip()
            return
        form, made, shown = group.main.result.format, {}, time.monotonic()
        for n in range(start, start + SEEDS):
            made[n] = form.show(visit.translation(group, domain, psi, [Choice(self.slot, n)]))
            if time.monotonic() - shown > PATIENCE or len(made) == SEEDS:
                yield style_buttons(self.label, f"style-{self.slot}", made, seed)
                shown = time.monotonic()

    def _choose(self, event: gr.EventData) -> int:
        return int(event._data["seed"])

    def _bring(self, upload: dict[str, Any] | None, visit: Visit | None, use: str) -> Any:
        if upload is None:
            return gr.skip()
        visit, group = visit or Visit(self.page.model), self.page.groups[use]
        problem = received(upload, lambda file, name: visit.bring_reference(self.slot, group, file, name))
        shown = visit.reference(self.slot, group)
        pictures = [] if shown is None else [(shown, "", "The reference, resized for the model")]
        return visit, None, problem + (figures(pictures) if pictures else "")
