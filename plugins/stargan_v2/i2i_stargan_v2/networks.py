"""The four networks of StarGAN v2 (section 3.1).

Generator G, mapping network F, style encoder E and discriminator D.
"""

from typing import Any, NamedTuple, Protocol, runtime_checkable

import torch
from pydantic import PositiveInt
from torch import Tensor, nn

from .blocks import SLOPE, AdainResBlk, InstanceNorm, ResBlk, he_init, widths


@runtime_checkable
class Skip(Protocol):
    """What the generator's `skip` must be: a module that carries details of the source past the bottleneck.

    `sizes` are the heights of the feature maps at which it acts. After each decoder block that ends at such
    a height, `skip(features, masks)` is added: `features` (N, C, H, W) is the encoder's map of that height,
    from before its block, `masks` whatever the recipe's tensor `masks` holds, never None. The result has the
    shape of `features`.
    """

    sizes: tuple[int, ...]

    def __call__(self, features: Tensor, masks: Any) -> Tensor: ...


class Content(NamedTuple):
    """What the decoder gets of a picture."""

    features: Tensor
    """At the bottleneck, (N, C, H, W)."""
    skips: dict[int, Tensor]
    """For the skip, by height; empty without one."""


class Generator(nn.Module):
    """Translate a picture x into the style s: G(x, s), the style code entering by AdaIN (section 3.1).

    x (N, 3, H, W) in [-1, 1] and s (N, `style_dim`) make a picture (N, 3, H, W), unbounded. `G.encode(x)`
    is its content, `G.decode(content, s, masks)` the picture, so that several styles of a picture share one
    encoding.

    Without a `skip` this is the paper's network for AFHQ (w_hpf = 0): halved to a shorter side of 16
    pixels, with shortcuts everywhere. With one it is the network for CelebA-HQ: halved once more, no
    shortcuts in the decoder; instead what the skip makes of the encoder's features and `masks` is added, or
    nothing where `masks` is None. Channels are `channel_base` / shorter side, doubling to `max_channels`.

    ValueError: an `image_size` that cannot be halved so often, or whose features the skip never meets.
    """

    def __init__(
        self,
        *,
        image_size: tuple[int, int],
        style_dim: PositiveInt = 64,
        channel_base: PositiveInt = 16384,
        max_channels: PositiveInt = 512,
        skip: Skip | None = None,
    ) -> None:
        super().__init__()
        if skip is not None and not isinstance(skip, Skip):
            raise ValueError(f"{type(skip).__name__} is no skip: it has no sizes; fan_mask/high_pass is one")
        dims = widths(image_size, channel_base, max_channels)
        dims = dims[:-2] if skip is None else dims[:-1]
        heights = [image_size[0] >> level for level in range(len(dims))]
        if skip is not None and not set(heights) & set(skip.sizes):
            raise ValueError(
                f"The skip acts at heights {skip.sizes}, but with image_size {image_size[0]}x{image_size[1]} "
                f"features have heights {heights}: leave the skip out or change image_size."
            )
        down: list[nn.Module] = []
        up: list[nn.Module] = []
        for fine, coarse in zip(dims, dims[1:], strict=False):
            down.append(ResBlk(fine, coarse, normalize=True, downsample=True))
            up.insert(0, AdainResBlk(coarse, fine, style_dim, upsample=True, shortcut=skip is None))
        for _ in range(2):
            down.append(ResBlk(dims[-1], dims[-1], normalize=True))
            up.insert(0, AdainResBlk(dims[-1], dims[-1], style_dim, shortcut=skip is None))

        self.from_rgb = nn.Conv2d(3, dims[0], 3, padding=1)
        self.to_rgb = nn.Sequential(InstanceNorm(dims[0], affine=True), nn.LeakyReLU(SLOPE), nn.Conv2d(dims[0], 3, 1))
        self.encode = Encoder(self.from_rgb, down, () if skip is None else skip.sizes)
        self.decode = Decoder(up, self.to_rgb, skip)
        self.apply(he_init)
        self.skip = skip  # after he_init: the skip's weights are its own

    def compile(self, *args: Any, **kwargs: Any) -> None:
        """torch.compile, in place, of the halves: what calls them by themselves gets them compiled too."""
        self.encode.compile(*args, **kwargs)
        self.decode.compile(*args, **kwargs)

    def forward(self, x: Tensor, s: Tensor, masks: Any = None) -> Tensor:
        """G(x, s)."""
        x_fake: Tensor = self.decode(self.encode(x), s, masks)
        return x_fake


# Checkpoints everywhere name the parameters encode.0.conv1.weight but from_rgb.weight. So G owns all
# layers, and its halves are callable lists of blocks that borrow from_rgb, to_rgb and the skip, in a tuple
# because nn.Module would register them a second time as attributes.


class Encoder(nn.ModuleList):
    """The half of G that sees the source: x (N, 3, H, W) to its `Content`."""

    def __init__(self, from_rgb: nn.Module, blocks: list[nn.Module], skip_sizes: tuple[int, ...]) -> None:
        super().__init__(blocks)
        self.borrowed = (from_rgb,)
        self.skip_sizes = skip_sizes

    def forward(self, x: Tensor) -> Content:
        (from_rgb,) = self.borrowed
        x = from_rgb(x)
        skips: dict[int, Tensor] = {}
        for block in self:
            if x.shape[2] in self.skip_sizes:
                skips[x.shape[2]] = x  # of several blocks at one height, the last
            x = block(x)
        return Content(x, skips)


class Decoder(nn.ModuleList):
    """The half of G that sees the style: `Content`, s (N, style_dim) and masks to a picture (N, 3, H, W)."""

    def __init__(self, blocks: list[nn.Module], to_rgb: nn.Module, skip: Skip | None) -> None:
        super().__init__(blocks)
        self.borrowed = (to_rgb, skip)

    def forward(self, content: Content, s: Tensor, masks: Any = None) -> Tensor:
        to_rgb, skip = self.borrowed
        x, skips = content
        for block in self:
            x = block(x, s)
            if skip is not None and masks is not None and x.shape[2] in skips:
                x = x + skip(skips[x.shape[2]], masks)
        x_fake: Tensor = to_rgb(x)
        return x_fake


class MappingNetwork(nn.Module):
    """Make a style code of a latent: s = F_y(z), an MLP with one output branch per domain (section 3.1).

    z (N, `latent_dim`) from N(0, I) and domains y (N,) make s (N, `style_dim`). Four linear layers are
    shared by all domains, four are the domain's own, all but the last `hidden_dim` wide.
    """

    def __init__(
        self,
        *,
        num_domains: int,
        latent_dim: PositiveInt = 16,
        style_dim: PositiveInt = 64,
        hidden_dim: PositiveInt = 512,
    ) -> None:
        super().__init__()
        self.latent_dim = latent_dim
        hidden = [hidden_dim] * 4
        self.shared = nn.Sequential(*_mlp(latent_dim, *hidden), nn.ReLU())
        self.unshared = nn.ModuleList(nn.Sequential(*_mlp(*hidden, style_dim)) for _ in range(num_domains))
        self.apply(he_init)

    def forward(self, z: Tensor, y: Tensor) -> Tensor:
        """F_y(z)."""
        return _per_domain(self.unshared, self.shared(z), y)


class StyleEncoder(nn.Module):
    """Read the style code of a reference picture: s = E_y(x), with one linear head per domain (section 3.1).

    x (N, 3, H, W) in [-1, 1] and domains y (N,) make s (N, `style_dim`). `channel_base` and `max_channels` as in the
    generator.
    """

    def __init__(
        self,
        *,
        image_size: tuple[int, int],
        num_domains: int,
        style_dim: PositiveInt = 64,
        channel_base: PositiveInt = 16384,
        max_channels: PositiveInt = 512,
    ) -> None:
        super().__init__()
        dims = widths(image_size, channel_base, max_channels)
        self.shared = nn.Sequential(*_trunk(image_size, dims))
        self.unshared = nn.ModuleList(nn.Linear(dims[-1], style_dim) for _ in range(num_domains))
        self.apply(he_init)

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        """E_y(x)."""
        return _per_domain(self.unshared, self.shared(x).flatten(1), y)


class Discriminator(nn.Module):
    """Tell real pictures of a domain from translations into it: D_y(x), one logit per domain (section 3.1).

    x (N, 3, H, W) in [-1, 1] and domains y (N,) make logits (N,). `channel_base` and `max_channels` as in the
    generator.
    """

    def __init__(
        self,
        *,
        image_size: tuple[int, int],
        num_domains: int,
        channel_base: PositiveInt = 16384,
        max_channels: PositiveInt = 512,
    ) -> None:
        super().__init__()
        dims = widths(image_size, channel_base, max_channels)
        self.main = nn.Sequential(*_trunk(image_size, dims), nn.Conv2d(dims[-1], num_domains, 1))
        self.apply(he_init)

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        """D_y(x)."""
        # All heads at once: one more domain is one dot product, nothing next to the trunk.
        logits: Tensor = self.main(x).flatten(1)
        return logits.gather(1, y[:, None]).squeeze(1)


def _trunk(image_size: tuple[int, int], dims: list[int]) -> list[nn.Module]:
    """The layers that E and D have in common: a picture to (N, dims[-1], 1, 1)."""
    blocks = [ResBlk(fine, coarse, downsample=True) for fine, coarse in zip(dims, dims[1:], strict=False)]
    rest = (image_size[0] >> len(blocks), image_size[1] >> len(blocks))
    return [
        nn.Conv2d(3, dims[0], 3, padding=1),
        *blocks,
        nn.LeakyReLU(SLOPE),
        nn.Conv2d(dims[-1], dims[-1], rest),
        nn.LeakyReLU(SLOPE),
    ]


def _mlp(*dims: int) -> list[nn.Module]:
    """Linear layers with ReLUs between them."""
    layers: list[nn.Module] = []
    for dim_in, dim_out in zip(dims, dims[1:], strict=False):
        layers += [nn.Linear(dim_in, dim_out), nn.ReLU()]
    return layers[:-1]


def _per_domain(heads: nn.ModuleList, h: Tensor, y: Tensor) -> Tensor:
    """Row i is heads[y[i]](h[i]).

    On a CPU rows are grouped by domain: a head that no row asks for costs nothing and gets no gradient. A GPU would
    have to tell the host the sizes of the groups, which stops it; there, and in graphs for every y, all heads compute
    all rows. F forward and backward, batch 8, one core: grouped 4 ms for K = 2 and 13 ms for K = 50; all heads 5, 104.
    """
    if h.device.type != "cpu" or torch.compiler.is_compiling():
        return _all_heads(heads, h)[y, torch.arange(y.shape[0], device=y.device)]
    order = y.argsort(stable=True)
    counts = torch.bincount(y, minlength=len(heads)).tolist()
    groups = zip(heads, torch.split(h[order], counts), strict=True)
    out = torch.cat([head(rows) for head, rows in groups if len(rows)])
    return out[order.argsort()]


def _all_heads(heads: nn.ModuleList, h: Tensor) -> Tensor:
    """(K, N, style_dim): what every head makes of every row, layer by layer, each a product for all heads at once."""
    stacked = h.expand(len(heads), *h.shape)
    for layers in zip(*(head if isinstance(head, nn.Sequential) else [head] for head in heads), strict=True):
        if isinstance(layers[0], nn.Linear):
            weights, biases = (torch.stack([getattr(layer, name) for layer in layers]) for name in ("weight", "bias"))
            stacked = torch.baddbmm(biases[:, None], stacked, weights.mT)
        else:
            stacked = layers[0](stacked)
    return stacked
