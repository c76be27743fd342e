"""Pictures and other inputs of a visitor, and their translations, independent of the page."""

from __future__ import annotations

import base64
import io
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from i2i import Sources, Style, Translator
from i2i.demo.groups import Group
from i2i.opening import opened, refuse_other_extent
from i2i_core.data.fitting import PixelBox, extent, fit
from i2i_core.data.formats.labels import Mask
from i2i_core.data.formats.numbers import Numbers
from i2i_core.errors import DataError, UsageError
from i2i_core.interfaces import Format, Size, Value
from i2i_core.plan.uses import LATENT, PLAIN, REFERENCE

SEEDS = 8
"""The number of styles from latents in a grid."""
MASK_COLOUR = np.array([255, 64, 0])
_one_at_a_time = threading.Lock()
"""Lock of the model, which all visitors share."""


@dataclass(frozen=True)
class Choice:
    """The source of a style: a latent drawn with `seed`, or an uploaded reference."""

    slot: int = 0
    """0 for the first style, 1 for the second style of a blend."""
    seed: int = 0
    reference: bool = False


@dataclass(frozen=True, eq=False)
class Given:
    """A picture, or another value, for a batch field."""

    x: torch.Tensor
    """The value as the networks get it, (1, ...)."""
    box: PixelBox
    """Its box in (H, W), in pixels: left, top, right, bottom."""
    extent: Size | None
    """The height and width of the file; None for numbers."""


class Visit:
    """The values given for each batch field, at the size of the model; the uploaded files are not kept."""

    def __init__(self, model: Translator) -> None:
        self.model = model
        self.name = "picture"
        self.given: dict[str, Given] = {}
        self.references: dict[tuple[int, str], Sources] = {}
        """References by slot and use."""
        self._sources: dict[Group, Sources] = {}
        self.style = lru_cache(maxsize=64)(self._style)
        for use in model.uses.values():
            for field in use.inputs.values():
                if isinstance(form := model.layouts[field].format, Numbers):
                    self.numbers(field, dict.fromkeys(form.names, form.range[0]))

    # What visitors give.

    def bring(self, field: str, file: Path, name: str) -> bool:
        """Set a batch field to a file called `name`.

        Returns False if the model needs a face and finds none. Raises I2IError.
        """
        value = _read(file, name, self.model.layouts[field].format)
        self._set(field, value, extent(value))
        use = next((use for use in self.model.uses.values() if use.use.source == field), None)
        if use is None:
            return True
        self.name = Path(name).stem
        with _one_at_a_time:
            given = self.given[field]
            return not self.model.without_face(Sources(self.model, use, given.x, [given.box], {}))

    def bring_reference(self, slot: int, group: Group, file: Path, name: str) -> bool:
        """Set the reference of a style; returns False if the model needs a face and finds none. Raises I2IError."""
        use = group.of(REFERENCE)
        assert use is not None
        value = _read(file, name, use.reference.format)
        with _one_at_a_time:  # a running translation must not cache the style of the old reference
            reference = self.references[slot, use.name] = self.model.reference_sources(value, use.name)
            self.style.cache_clear()
            return not self.model.without_face(reference)

    def numbers(self, field: str, numbers: Mapping[str, float]) -> None:
        """Set a batch field to numbers by name."""
        self._set(field, self.model.layouts[field].format.converted(numbers), None)

    def paint(self, field: str, group: Group, drawn: str) -> None:
        """Set a batch field to a mask of the size of the shown picture: a PNG as a data: address. Raises DataError."""
        given = self.given.get(group.main.use.source)
        try:
            with Image.open(io.BytesIO(base64.b64decode(drawn.partition(",")[2])), formats=("PNG",)) as picture:
                if given is None or picture.size != self.shown(group.main.use.source).size:
                    raise ValueError("it was painted on another picture")
                mask = self.model.layouts[field].format.converted(picture)
        except (OSError, ValueError) as error:
            raise DataError(f"The painted mask cannot be used: {error}.") from None
        self._set(field, mask, given.extent)

    def _set(self, field: str, value: Value, size: Size | None) -> None:
        """Set a field to a value of a file of (H, W). Inputs that belong to a picture of another size are forgotten."""
        layout = self.model.layouts[field]
        for name, source in self._belongs_to(field):
            refuse_other_extent(name, size, self.given[source].extent if source in self.given else None)
        x, box = fit(value, layout)
        with _one_at_a_time:
            self.given[field] = Given(layout.format.encode(x[None].to(self.model.device), self.model.dtype), box, size)
            for use in self.model.uses.values():
                for other in use.inputs.values() if use.use.source == field else ():
                    if other in self.given and self.given[other].extent not in (None, size):
                        del self.given[other]
            self._sources.clear()

    def _belongs_to(self, field: str) -> Iterator[tuple[str, str]]:
        """Yield the names under which a field is an input, each with the field of the source."""
        for use in self.model.uses.values():
            yield from ((name, use.use.source) for name, of in use.inputs.items() if of == field)

    # What the page shows.

    def missing(self, group: Group) -> str | None:
        """Return the name of the first input that a group lacks, "" for the picture, or None."""
        if group.main.use.source not in self.given:
            return ""
        return next((name for name, field in group.main.inputs.items() if field not in self.given), None)

    def reference(self, slot: int, group: Group) -> Image.Image | None:
        """Return a reference as a picture for people."""
        use = group.of(REFERENCE)
        if use is None or (slot, use.name) not in self.references:
            return None
        form = use.reference.format
        return form.show(form.decode(self.references[slot, use.name].x[0]))

    def shown(self, field: str) -> Image.Image:
        """Return what is given for a batch field as a picture for people."""
        given, form = self.given[field], self.model.layouts[field].format
        left, top, right, bottom = given.box
        return form.show(form.decode(given.x[0, :, top:bottom, left:right] if given.x.dim() == 4 else given.x[0]))

    def translation(self, group: Group, domain: str, psi: float, choices: list[Choice], share: float = 0.0) -> Value:
        """Translate the picture into a style, or into a blend with a share of a second style; raises UsageError.

        Returns a value of the result's format.
        """
        with _one_at_a_time:
            first, *others = (self.style(group, domain, psi, choice) for choice in choices)
            style = first.towards(others[0], share) if others else first
            (made,) = self.sources(group).translated(style)
        return made

    def sources(self, group: Group) -> Sources:
        """Return the picture with the inputs of a group, of which nothing is missing."""
        if group not in self._sources:
            use, given = group.main, self.given[group.main.use.source]
            inputs = {field: self.given[field].x for field in use.inputs.values()}
            self._sources[group] = Sources(self.model, use, given.x, [given.box], inputs)
        return self._sources[group]

    def _style(self, group: Group, domain: str, psi: float, choice: Choice) -> Style:
        use = group.of(REFERENCE) if choice.reference else group.of(LATENT, PLAIN)
        assert use is not None
        psi = psi if group.truncates(use) else 1.0
        if not choice.reference:
            return self.model.styles(domain, seeds=[choice.seed], psi=psi, use=use.name)[0]
        if (choice.slot, use.name) not in self.references:
            raise UsageError(f"Add a reference: a picture of the domain {domain}.")
        reference = self.references[choice.slot, use.name]
        return self.model.styles(domain, references=[reference], psi=psi, use=use.name)[0]

    def masks(self, group: Group) -> list[Image.Image]:
        """Draw the picture in grey with each of the masks that the model makes of it, if it makes masks."""
        if not group.masked or self.missing(group) is not None:
            return []
        with _one_at_a_time:
            masks = self.sources(group).tensor("masks")
        return [self._under(group, mask) for mask in ([masks] if isinstance(masks, torch.Tensor) else masks)]

    def _under(self, group: Group, mask: torch.Tensor) -> Image.Image:
        """Draw one mask, of shape (1, 1, any, any) and in [0, 1]."""
        use = group.main
        share = torch.nn.functional.interpolate(
            mask.float(), size=use.source.size, mode="bilinear", align_corners=False
        )
        left, top, right, bottom = self.given[use.use.source].box
        shares = share[0, 0, top:bottom, left:right, None].cpu().numpy() * 0.6
        grey = np.asarray(self.shown(use.use.source).convert("L"))[..., None]
        return Image.fromarray((grey * (1 - shares) + MASK_COLOUR * shares).round().astype(np.uint8))


def strokes(mask: Image.Image) -> Image.Image:
    """Return a mask as a painter draws it: orange where it is 1, and transparent elsewhere."""
    drawn = Image.new("RGBA", mask.size, (*MASK_COLOUR.tolist(), 255))
    drawn.putalpha(mask.convert("L"))
    return drawn


def paintable(form: Format) -> bool:
    """Return True if a field of this format can be painted on the picture."""
    return isinstance(form, Mask)


def _read(file: Path, name: str, form: Format) -> Value:
    """Read an upload. A picture may have any suffix, since browsers give some none."""
    if form.kind is not Image.Image and Path(name).suffix.lower() not in form.suffixes:
        raise DataError(f"{name} cannot be used: its name should end in {' or '.join(form.suffixes)}")
    return opened(file, form)
