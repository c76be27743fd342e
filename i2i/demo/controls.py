"""The controls by which visitors give the picture and the further inputs of a use: uploads, a painter and sliders."""

from __future__ import annotations

import html
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any, Literal, Protocol

import gradio as gr
from gradio.utils import get_upload_folder
from PIL import Image

from i2i import Translator
from i2i.demo.groups import Group
from i2i.demo.markup import alert, figures, legend, painter, placeholder
from i2i.demo.visit import Visit, paintable, strokes
from i2i_core.data.formats.numbers import Numbers
from i2i_core.data.formats.picture import Picture
from i2i_core.errors import DataError, I2IError
from i2i_core.interfaces import Format

AT_ONCE = 4
"""Most visitors for whom something is computed at the same time; the others wait."""
QUIET: dict[str, Any] = {
    "api_visibility": "private",
    "show_progress": "hidden",
    "concurrency_limit": AT_ONCE,
    "concurrency_id": "page",
}
BUSY = {**QUIET, "show_progress": "minimal"}
LIVE = {**QUIET, "trigger_mode": "always_last"}
"""Options of events: without a progress indicator, with one, and with only the latest event of a moving slider."""
Source = Literal["upload", "clipboard", "webcam"]
PAINT = Path(__file__).with_name("paint.js").read_text(encoding="utf-8")


class Host(Protocol):
    """The parts of the page that controls use."""

    model: Translator
    groups: dict[str, Group]
    visit: gr.State
    use: gr.Radio
    """The name of the chosen group."""
    domain: gr.Radio
    psi: gr.Slider
    blend: gr.Checkbox

    def follow(self, event: Any, inputs: bool = True) -> Any:
        """Show after an event what is made of what is given; `inputs`: and the inputs themselves."""
        ...


class Upload:
    """An upload for a batch field, with what was uploaded below it; the source is shown beside its translation."""

    def __init__(self, page: Host, field: str, label: str, visible: bool) -> None:
        self.page, self.field, self.label = page, field, label
        form = page.model.layouts[field].format
        with gr.Column(visible=visible, elem_classes="parts") as self.column:
            self._build(form)
            if classes := legend(form):
                gr.HTML(classes)

    def _build(self, form: Format) -> None:
        self.file, self.problem = drop(self.label, form)
        self.shown = gr.HTML(elem_classes="problem")

    def connect(self) -> None:
        page = self.page
        inputs, outputs = [self.file, page.visit], [page.visit, self.file, self.problem]
        page.follow(on_upload(self.file, self._bring, inputs, outputs))

    def _bring(self, upload: dict[str, Any] | None, visit: Visit | None) -> Any:
        if upload is None:  # the camera was opened
            return gr.skip()
        visit = visit or Visit(self.page.model)
        return visit, None, received(upload, partial(visit.bring, self.field))

    def drawn(self, visit: Visit | None, group: Group) -> str:
        """Return HTML of what is given, for `shown`."""
        if visit is None or self.field not in visit.given or self.field not in group.main.inputs.values():
            return ""
        return figures([(visit.shown(self.field), "", f"{self.label}, resized for the model")])


class Painter(Upload):
    """A mask to paint on the picture, or to upload."""

    def _build(self, form: Format) -> None:
        gr.HTML(f"<h2>{html.escape(self.label)}</h2>", elem_classes="title")
        self.shown = gr.HTML(placeholder(EASEL), elem_classes="painter", js_on_load=PAINT)
        self.file, self.problem = drop(f"{self.label} from a file", form)

    def connect(self) -> None:
        super().connect()
        page = self.page
        drawn = self.shown.select(self._paint, [page.visit, page.use], [page.visit, self.problem], **QUIET)
        page.follow(drawn, inputs=False)

    def drawn(self, visit: Visit | None, group: Group) -> str:
        source = group.main.use.source
        if visit is None or source not in visit.given:
            return placeholder(EASEL) + super().drawn(visit, group)
        mask = strokes(visit.shown(self.field)) if self.field in visit.given else None
        return painter(visit.shown(source), mask, self.label)

    def _paint(self, visit: Visit, use: str, event: gr.EventData) -> Any:
        try:
            visit.paint(self.field, self.page.groups[use], str(event._data["mask"]))
        except DataError as error:
            return visit, alert(str(error))
        return visit, ""


EASEL = "Add a picture to paint on it, or upload a mask."


class Sliders:
    """A slider for each of the numbers of a batch field, at first at the least number."""

    def __init__(self, page: Host, field: str, visible: bool) -> None:
        self.page, self.field = page, field
        form = page.model.layouts[field].format
        assert isinstance(form, Numbers)
        (low, high), self.names = form.range, form.names
        with gr.Column(visible=visible, elem_classes="parts") as self.column:
            self.sliders = [gr.Slider(low, high, low, step=(high - low) / 100, label=name) for name in self.names]

    def connect(self) -> None:
        moved = gr.on(
            [slider.input for slider in self.sliders],
            self._move,
            [self.page.visit, *self.sliders],
            self.page.visit,
            **LIVE,
        )
        self.page.follow(moved, inputs=False)

    def _move(self, visit: Visit | None, *numbers: float) -> Visit:
        visit = visit or Visit(self.page.model)
        visit.numbers(self.field, dict(zip(self.names, numbers, strict=True)))
        return visit


Control = Upload | Sliders


def control(page: Host, field: str, label: str, visible: bool) -> Control:
    """Make the control that the format of a batch field asks for."""
    form = page.model.layouts[field].format
    if isinstance(form, Numbers):
        return Sliders(page, field, visible)
    return (Painter if paintable(form) else Upload)(page, field, label, visible)


def drop(label: str, form: Format) -> tuple[gr.Image | gr.File, gr.HTML]:
    """Make an input for a file of a format, and an output for its problems. The input never shows the file."""
    looks: dict[str, Any] = {"label": label, "height": 200, "elem_classes": "drop"}
    if form.kind is not Image.Image:  # which no browser shows
        return gr.File(file_types=[*form.suffixes], type="filepath", **looks), gr.HTML(elem_classes="problem")
    camera: list[Source] = ["webcam"] if isinstance(form, Picture) else []
    picture = gr.Image(sources=["upload", "clipboard", *camera], type="filepath", image_mode=None, buttons=[], **looks)
    return picture, gr.HTML(elem_classes="problem")


def on_upload(file: gr.Image | gr.File, fn: Callable[..., Any], inputs: list[Any], outputs: list[Any]) -> Any:
    """Call a function with the name of an uploaded file, which gradio does not read."""
    event = file.upload if isinstance(file, gr.File) else file.input
    return event(fn, inputs, outputs, preprocess=False, **BUSY)


def received(upload: dict[str, Any], take: Callable[[Path, str], bool]) -> str:
    """Pass an upload to `take`, delete it, and return HTML with its problem, if there is one.

    Raises PermissionError for a path outside the folder of uploads: a request may name any path of this machine.
    """
    file, name = Path(upload["path"]).resolve(), upload.get("orig_name") or "The picture"
    if not file.is_relative_to(Path(get_upload_folder()).resolve()):
        raise PermissionError(f"{file} is not an upload")
    try:
        known = take(file, name)
    except I2IError as error:
        return alert(str(error).replace(str(file), name))
    finally:
        file.unlink(missing_ok=True)
        with suppress(OSError):
            file.parent.rmdir()
    return "" if known else alert(f"No face was found in {name}, but the model was trained on faces.")
