"""Export of a model to ONNX or torch.export files, which other programs run without i2i.

There is one file for each part of a translation (see `i2i.program_parts`), for batches of any size. model.json
describes the inputs and outputs of the files, and the order in which to run them.
"""

from __future__ import annotations

import io
import json
import logging
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor
from torch.export import ExportedProgram
from torch.export.graph_signature import InputKind
from torch.fx import GraphModule

from i2i.onnx_norms import NORMS
from i2i.program_parts import ProgramPart, parts
from i2i.translator import Translator
from i2i_core import __version__
from i2i_core.disk.files import staged
from i2i_core.errors import PluginError, UsageError
from i2i_core.models.folder import refuse, refuse_others

ABOUT = "model.json"
ProgramFormat = Literal["onnx", "torch-export"]
SUFFIXES: Mapping[ProgramFormat, str] = {"onnx": ".onnx", "torch-export": ".pt2"}
NEEDED = ("onnx", "onnxscript", "onnxruntime")
TOLERANCE = 1e-4
"""Maximum mean absolute error of a file; relative to the mean magnitude if that is above 1."""
ExportedFunction = Callable[[dict[str, Tensor]], dict[str, Tensor]]


def write(
    model: Translator,
    folder: Path,
    kind: ProgramFormat,
    overwrite: bool = False,
    each: Callable[[list[ProgramPart]], Iterable[ProgramPart]] = iter,
) -> None:
    """Export a model on the CPU, test each file, and write all of them to `folder`, or none.

    overwrite: replace the files of an earlier export. each: wraps the iteration over the parts, to show progress.
    Raises UsageError, DiskError, and PluginError for a component that cannot be exported.
    """
    refuse(folder, ABOUT, "model in parts", overwrite)
    refuse_others(folder, ABOUT, "model in parts")
    if kind == "onnx" and (gone := [name for name in NEEDED if find_spec(name) is None]):
        raise UsageError(f'ONNX needs {" and ".join(gone)}: pip install "i2i-gan[export]"')
    order = parts(model)
    every = list({part: None for found in order.values() for part in found})
    files = {part.file + SUFFIXES[kind]: export(part, kind) for part in each(every)}
    about = {
        "name": model.model.name,
        "made_by": f"i2i {__version__}, torch {torch.__version__}",
        "domains": model.domains,
        "uses": {
            name: {
                "order": [part.file + SUFFIXES[kind] for part in found],
                "source": model.uses[name].use.source,
                "inputs": model.uses[name].inputs,
                "targets": model.uses[name].targets,
                "gives": model.uses[name].use.show,
                "layout": model.model.config.layouts[model.uses[name].use.result].model_dump(exclude_none=True),
            }
            for name, found in order.items()
        },
        "layouts": {
            field: layout.model_dump(exclude_none=True) for field, layout in model.model.config.layouts.items()
        },
        "files": {part.file + SUFFIXES[kind]: _about(part) for part in every},
    }
    with staged(folder) as stage:
        for name, content in {**files, ABOUT: json.dumps(about, indent=1, ensure_ascii=False).encode()}.items():
            (stage / name).write_bytes(content)


def _about(part: ProgramPart) -> dict[str, object]:
    def arrays(of: Mapping[str, Tensor]) -> dict[str, object]:
        return {
            name: {
                "shape": ["batch", *array.shape[1:]],
                "type": str(array.dtype).removeprefix("torch."),
                **({"holds": part.holds[name]} if name in part.holds else {}),
            }
            for name, array in of.items()
        }

    return {"takes": arrays(part.example), "gives": arrays(part.gives)}


def export(part: ProgramPart, kind: ProgramFormat) -> bytes:
    """Export a part and test its file; raises PluginError for a component that cannot be exported."""
    try:
        with _quietly():
            return _onnx(part) if kind == "onnx" else _torch_export(part)
    except Exception as error:  # tracing may raise anything
        raise PluginError(f"the tensor {part.file} cannot be exported: {_why(error)}") from error


@contextmanager
def _quietly() -> Iterator[None]:
    """Silence messages of torch about its own tracing."""
    level = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings(action="ignore"):
            yield
    finally:
        logging.disable(level)


def _why(error: Exception) -> str:
    first = " ".join(str(error).split("\n")[0].split())
    if first.startswith("Constraints violated"):
        return "its code makes the batch size a constant; write x.shape[0] instead of len(x)"
    return "its control flow depends on the values of tensors" if "data-dependent" in first else first


def _torch_export(part: ProgramPart) -> bytes:
    program, file = _program(part), io.BytesIO()
    torch.export.save(program, file)
    _try(part, torch.no_grad()(program.module()))
    return file.getvalue()


def _onnx(part: ProgramPart) -> bytes:
    import onnxruntime

    names = {name: {0: "batch"} for name in part.example}
    made = torch.onnx.export(
        _program(part),
        input_names=list(names),
        output_names=list(part.gives),
        dynamic_shapes={"arrays": names},
        dynamo=True,
        verbose=False,
        custom_translation_table=NORMS,
    )
    assert made is not None
    content: bytes = made.model_proto.SerializeToString()
    session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])

    def run(arrays: dict[str, Tensor]) -> dict[str, Tensor]:
        given = session.run(None, {name: array.numpy() for name, array in arrays.items()})
        return {o.name: torch.from_numpy(array) for o, array in zip(session.get_outputs(), given, strict=True)}

    _try(part, run)
    return content


@torch.no_grad()
def _program(part: ProgramPart) -> ExportedProgram:
    """Trace a part, and remove weights that it does not read and paths of this machine."""
    batch = torch.export.Dim("batch", min=1)
    shapes = {"arrays": {name: {0: batch} for name in part.example}}
    program = torch.export.export(part, (part.example,), dynamic_shapes=shapes)
    inputs = program.graph_signature.input_specs
    for spec, node in list(zip(inputs, program.graph.nodes, strict=False)):
        if spec.kind in (InputKind.PARAMETER, InputKind.BUFFER) and not node.users:
            inputs.remove(spec)
            program.graph.erase_node(node)
            program.state_dict.pop(spec.target, None)
            program.constants.pop(spec.target, None)
    for module in program.graph_module.modules():
        for node in module.graph.nodes if isinstance(module, GraphModule) else ():
            node.meta.pop("stack_trace", None)
    program.graph_module.recompile()
    return program


def _try(part: ProgramPart, run: ExportedFunction) -> None:
    """Compare a file with the model, for one sample and for more samples than were traced; raises ValueError."""
    for count in (1, 3):
        arrays = {name: torch.cat([array, array])[:count] for name, array in part.example.items()}
        given = run(arrays)
        for name, expected in part(arrays).items():
            difference = (given[name] - expected).float().abs().mean()
            if not difference <= TOLERANCE * max(1, expected.float().abs().mean()):
                raise ValueError(
                    f"its file computes {name} with a mean error of {difference:.2g} for a batch of {count}"
                )
