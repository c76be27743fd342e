"""Components of the core, registered as those of a plugin, but without a prefix."""

from i2i_core.registry.entries import Registrar
from i2i_core.registry.hookspecs import hookimpl


@hookimpl
def i2i_components(registry: Registrar) -> None:
    registry.loss("l1", "i2i_core.training.losses.matching:l1")
    registry.loss("feature_matching", "i2i_core.training.losses.matching:feature_matching")
    registry.loss("r1", "i2i_core.training.losses.penalties:r1")
    registry.loss("r2", "i2i_core.training.losses.penalties:r2")
    registry.loss("gradient_penalty", "i2i_core.training.losses.penalties:gradient_penalty")
    registry.loss("lecam", "i2i_core.training.losses.lecam:LeCam")
    registry.loss("gan/bce", "i2i_core.training.losses.gan:bce")
    registry.loss("gan/hinge", "i2i_core.training.losses.gan:hinge")
    registry.loss("gan/lsgan", "i2i_core.training.losses.gan:lsgan")
    registry.loss("gan/wasserstein", "i2i_core.training.losses.gan:wasserstein")
    registry.loss("gan/relativistic", "i2i_core.training.losses.gan:relativistic")
    registry.tensor("leaf", "i2i_core.training.losses.penalties:leaf")
    registry.tensor("interpolate", "i2i_core.training.losses.penalties:interpolate")
    registry.optimizer("adam", "i2i_core.training.optimizers:adam")
    registry.optimizer("sgd", "i2i_core.training.optimizers:sgd")
    registry.schedule("constant", "i2i_core.training.schedules:Constant")
    registry.schedule("linear", "i2i_core.training.schedules:Linear")
    registry.schedule("cosine", "i2i_core.training.schedules:Cosine")
    registry.format("picture", "i2i_core.data.formats.picture:Picture")
    registry.format("grey", "i2i_core.data.formats.picture:Grey")
    registry.format("labels", "i2i_core.data.formats.labels:Labels")
    registry.format("mask", "i2i_core.data.formats.labels:Mask")
    registry.format("raster", "i2i_core.data.formats.raster:Raster")
    registry.format("numbers", "i2i_core.data.formats.numbers:Numbers")
    registry.dataset("image_folders", "i2i_core.data.datasets.image_folders:ImageFolders")
    registry.dataset("image_list", "i2i_core.data.datasets.image_list:ImageList")
    registry.dataset("hf/dataset", "i2i_core.data.datasets.huggingface:HuggingFace")
    registry.dataset("torchvision/dataset", "i2i_core.data.datasets.torchvision_sets:Torchvision")
    registry.trainer("phases", "i2i_core.training.loop:PhaseTrainer")
    registry.hook("progress", "i2i_core.training.hooks.progress:Progress")
    registry.hook("metrics", "i2i_core.training.hooks.metrics:Metrics")
    registry.hook("checkpoint", "i2i_core.training.hooks.checkpoint:SaveCheckpoints")
    registry.hook("sample_grid", "i2i_core.training.hooks.sample_grid:SampleGrid")
    registry.hook("tracker", "i2i_core.training.hooks.tracker:Tracker")
    registry.hook("ema", "i2i_core.training.hooks.ema:EMA")
    registry.hook("true_pairs", "i2i_core.training.hooks.true_pairs:TruePairs")
