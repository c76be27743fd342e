"""The page: its layout, and what it shows after an event."""

from __future__ import annotations

import html
from functools import partial
from typing import Any

import gradio as gr

from i2i import Translator
from i2i.demo.controls import BUSY, LIVE, QUIET, Control, Upload, control
from i2i.demo.groups import Group, grouped
from i2i.demo.markup import figures, placeholder, translated
from i2i.demo.picker import A_REFERENCE, Picker
from i2i.demo.visit import Choice, Visit
from i2i_core.data.formats.labels import Labels
from i2i_core.errors import I2IError

LOOK, FORGET = 10, 50
"""Every 10 seconds, uploads are deleted that nobody has read for 50; a read upload is deleted at once."""
FIRST = "The translation appears here."


def build(model: Translator) -> gr.Blocks:
    """Build the page for a model. Pictures of a visitor are kept in memory until the page is closed."""
    page = gr.Blocks(
        title=f"i2i: {model.model.name}", analytics_enabled=False, fill_width=True, delete_cache=(LOOK, FORGET)
    )
    with page:
        Page(model)
    page.queue(max_size=32, api_open=False)
    return page


class Page:
    """The parts of the page, in keyboard order."""

    def __init__(self, model: Translator) -> None:
        self.model, self.visit, self.groups = model, gr.State(), grouped(model)
        self.first = next(iter(self.groups.values()))
        self.controls: dict[str, Control] = {}
        """The controls by batch field."""
        with gr.Column(elem_id="page"):
            self.about = gr.HTML(self._about(self.first), elem_id="about")
            with gr.Column(elem_id="picture"):
                names = [*self.groups]
                self.use = gr.Radio(names, value=names[0], label="Use of the model", visible=len(names) > 1)
                for group in self.groups.values():
                    source = group.main.use.source
                    form = model.layouts[source].format
                    self._add(source, "Label map" if isinstance(form, Labels) else "Picture")
            self.result = gr.HTML(placeholder(FIRST), elem_id="result")
            with gr.Column(elem_id="choices"):
                targets = self.first.main.targets
                self.domain = gr.Radio([*targets], value=targets[-1], label="Target domain", visible=len(targets) > 1)
                self._add_inputs()
                style = Picker(self, 0, "Style")
                self.psi = gr.Slider(
                    0,
                    1,
                    1,
                    step=0.05,
                    label="Truncation ψ",
                    info="0: the mean style of the domain. 1: the style as the model makes it.",
                    visible=self.first.mean is not None,
                )
                self.blend = gr.Checkbox(label="Blend with a second style", visible=self.first.blends)
                with gr.Column(visible=False, elem_classes="parts") as self.second:
                    self.share = gr.Slider(
                        0, 1, 0.5, step=0.01, label="Blend", info="0: the first style. 1: the second style."
                    )
                    self.pickers = style, Picker(self, 1, "Second style")
                with gr.Accordion("Masks", open=False, visible=self.first.masked) as self.areas:
                    self.masks = gr.HTML(placeholder("The masks of the model appear here."))
        self._connect()

    def _about(self, group: Group) -> str:
        height, width = group.main.source.size
        return (
            f"<h1>{html.escape(self.model.model.name)}</h1><p>Translates pictures into "
            f"{html.escape(' or '.join(group.main.targets))}, at {width} × {height} pixels.</p>"
        )

    def _add(self, field: str, label: str) -> None:
        if field not in self.controls:
            self.controls[field] = control(self, field, label, field in self.first.main.given)

    def _add_inputs(self) -> None:
        for group in self.groups.values():
            for name, field in group.main.inputs.items():
                self._add(field, f"Input {name}")

    def _connect(self) -> None:
        chosen = [
            self.visit,
            self.use,
            self.domain,
            self.psi,
            self.blend,
            self.share,
            *(part for picker in self.pickers for part in (picker.guide, picker.seed)),
        ]
        self.show = {"fn": self._show, "inputs": chosen, "outputs": self.result}
        self.uploads = [one for one in self.controls.values() if isinstance(one, Upload)]
        for one in self.controls.values():
            one.connect()
        self.blend.input(lambda on: gr.Column(visible=on), self.blend, self.second, **QUIET)
        for picker in self.pickers:
            picker.connect(self.show, [self.domain.input, self.psi.input, self.blend.input])
        gr.on([part.input for part in (self.domain, self.psi, self.blend, self.share)], **self.show, **LIVE)
        self.follow(self.use.input(self._switch, self.use, self._switched, **BUSY))

    def follow(self, event: Any, inputs: bool = True) -> Any:
        """Show after an event what is made of what is given; `inputs`: and the inputs themselves."""
        shown = self.uploads if inputs else []
        event = event.then(
            partial(self._refresh, shown), [self.visit, self.use], [self.masks, *(one.shown for one in shown)], **QUIET
        ).then(**self.show, **BUSY)
        for picker in self.pickers:
            event = event.then(**picker.drawing, **BUSY)
        return event

    @property
    def _switched(self) -> list[Any]:
        parts = [part for one in self.pickers for part in (one.guide, one.grid, *one.parts)]
        columns = [one.column for one in self.controls.values()]
        return [self.about, self.domain, self.psi, self.blend, self.second, self.areas, *columns, *parts]

    def _switch(self, use: str) -> list[Any]:
        """Return updates for another group of uses."""
        group = self.groups[use]
        targets = group.main.targets
        return [
            self._about(group),
            gr.Radio([*targets], value=targets[-1], visible=len(targets) > 1),
            gr.Slider(visible=group.mean is not None),
            gr.Checkbox(value=False, visible=group.blends),
            gr.Column(visible=False),
            gr.Accordion(visible=group.masked),
            *(gr.Column(visible=field in group.main.given) for field in self.controls),
            *(update for picker in self.pickers for update in picker.switched(group)),
        ]

    def _refresh(self, shown: list[Upload], visit: Visit | None, use: str) -> list[str]:
        group = self.groups[use]
        masks = [
            (mask, f"mask {n}", f"Your picture in grey, with the area of mask {n} in orange")
            for n, mask in enumerate(visit.masks(group) if visit else [], 1)
        ]
        return [figures(masks), *(one.drawn(visit, group) for one in shown)]

    def _show(
        self, visit: Visit | None, use: str, domain: str, psi: float, blend: bool, share: float, *chosen: Any
    ) -> str:
        group = self.groups[use]
        if visit is None or (missing := visit.missing(group)) is not None:
            return placeholder(FIRST if visit is None or not missing else f"Add the input {missing}.")
        choices = [
            Choice(slot, seed, guide == A_REFERENCE)
            for slot, (guide, seed) in enumerate(zip(chosen[::2], chosen[1::2], strict=True))
        ]
        try:
            made = visit.translation(group, domain, psi, choices if blend else choices[:1], share)
            source = visit.shown(group.main.use.source)
            return translated(source, made, group.main.result.format, domain, visit.name)
        except I2IError as error:
            return placeholder(str(error))
