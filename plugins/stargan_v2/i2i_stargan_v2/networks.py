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
    """Interface of the generator's `skip`: a module that carries details of the source past the bottleneck.

    `sizes` are the heights of the feature maps at which the skip acts. The decoder adds `skip(features, masks)` to
    the output of each block that ends at such a height:

    features: the encoder's feature map of that height, (N, C, H, W), before its block.
    masks: the value of the recipe's tensor `masks`, never None.

    The result has the shape of `features`.
    """

    sizes: tuple[int, ...]

    def __call__(self, features: Tensor, masks: Any) -> Tensor: ...


class Content(NamedTuple):
    """Content of a picture: the output of the encoder and the input of the decoder."""

    features: Tensor
    """Feature maps at the bottleneck, (N, C, H, W)."""
    skips: dict[int, Tensor]
    """Feature maps for the skip, by height; empty if the generator has no skip."""


class Generator(nn.Module):
    """Generator G: translates a picture x into G(x, s), with the style code s injected by AdaIN (section 3.1).

    Input: x (N, 3, H, W) in [-1, 1] and s (N, `style_dim`). Output: a picture (N, 3, H, W), not clipped to [-1, 1].
    `G.encode(x)` returns the content of x and `G.decode(content, s, masks)` the translation, so translations of one
    picture with several styles share one encoding.

    The number of channels is `channel_base` / shorter side at full size. It doubles at each halving, up to
    `max_channels`.

    Without `skip` this is the paper's network for AFHQ (w_hpf = 0). The encoder halves the picture until its shorter
    side is 16 to 31 pixels, and all blocks have shortcuts. With `skip` it is the network for CelebA-HQ. The encoder
    halves the picture once more, and the decoder has no shortcuts. Instead, the decoder adds
    `skip(features, masks)`, or nothing if `masks` is None.

    Raises ValueError if `image_size` cannot be halved that often, or if no feature map has a height of `skip.sizes`.
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
            raise ValueError(f"{type(skip).__name__} has no sizes, so it is no skip; choose fan_mask/high_pass")
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
        self.skip = skip  # assigned after he_init, which must not change the skip's weights

    def compile(self, *args: Any, **kwargs: Any) -> None:
        """Compile encoder and decoder in place with torch.compile, so that separate calls of them are compiled too."""
        self.encode.compile(*args, **kwargs)
        self.decode.compile(*args, **kwargs)

    def forward(self, x: Tensor, s: Tensor, masks: Any = None) -> Tensor:
        """Return G(x, s), (N, 3, H, W)."""
        x_fake: Tensor = self.decode(self.encode(x), s, masks)
        return x_fake


# Published checkpoints name the parameters encode.0.conv1.weight, but from_rgb.weight. Therefore G owns from_rgb,
# to_rgb and the skip. Encoder and decoder are lists of blocks that borrow them. They hold them in a tuple because
# nn.Module would register a plain attribute a second time.


class Encoder(nn.ModuleList):
    """Encoder half of G: maps a picture x (N, 3, H, W) to its `Content`."""

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
                skips[x.shape[2]] = x  # the last block wins if several have this height
            x = block(x)
        return Content(x, skips)


class Decoder(nn.ModuleList):
    """Decoder half of G: maps `Content`, a style code s (N, style_dim) and masks to a picture (N, 3, H, W)."""

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
    """Mapping network F: maps a latent z to a style code s = F_y(z), with one output branch per domain (section 3.1).

    Input: z (N, `latent_dim`) from N(0, I) and domains y (N,). Output: s (N, `style_dim`). F is an MLP of eight
    linear layers: four shared by all domains, then four for each domain. All layers but the last have `hidden_dim`
    outputs.
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
        """Return F_y(z), (N, style_dim)."""
        return _per_domain(self.unshared, self.shared(z), y)


class StyleEncoder(nn.Module):
    """Style encoder E: extracts the style code s = E_y(x) of a picture, with one linear head per domain (section 3.1).

    Input: x (N, 3, H, W) in [-1, 1] and domains y (N,). Output: s (N, `style_dim`). `channel_base` and
    `max_channels` set the number of channels as in the generator.

    Raises ValueError if `image_size` cannot be halved to a shorter side of 4 to 7 pixels.
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
        """Return E_y(x), (N, style_dim)."""
        return _per_domain(self.unshared, self.shared(x).flatten(1), y)


class Discriminator(nn.Module):
    """Discriminator D: classifies pictures of domain y as real or fake, D_y(x), one output per domain (section 3.1).

    Input: x (N, 3, H, W) in [-1, 1] and domains y (N,). Output: logits (N,). `channel_base` and `max_channels` set
    the number of channels as in the generator.

    Raises ValueError if `image_size` cannot be halved to a shorter side of 4 to 7 pixels.
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
        """Return the logits D_y(x), (N,)."""
        # All heads are computed: one more domain costs one dot product, which is negligible.
        logits: Tensor = self.main(x).flatten(1)
        return logits.gather(1, y[:, None]).squeeze(1)


def _trunk(image_size: tuple[int, int], dims: list[int]) -> list[nn.Module]:
    """Build the layers that E and D share; they map a picture (N, 3, H, W) to (N, dims[-1], 1, 1)."""
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
    """Build linear layers with a ReLU between each two of them."""
    layers: list[nn.Module] = []
    for dim_in, dim_out in zip(dims, dims[1:], strict=False):
        layers += [nn.Linear(dim_in, dim_out), nn.ReLU()]
    return layers[:-1]


def _per_domain(heads: nn.ModuleList, h: Tensor, y: Tensor) -> Tensor:
    """Apply to each row of h (N, hidden_dim) the head of its domain: row i of the result is heads[y[i]](h[i]).

    On a CPU the rows are grouped by domain. A head without rows costs nothing and gets no gradient. On a GPU the sizes
    of the groups would have to be sent to the host, which blocks the GPU. There, and in compiled or exported graphs,
    which must serve every y, all heads compute all rows. Forward and backward pass of F on one core with batch size 8:
    grouped 4 ms (K = 2 domains) and 13 ms (K = 50); all heads 5 ms and 104 ms.
    """
    if h.device.type != "cpu" or torch.compiler.is_compiling():
        return _all_heads(heads, h)[y, torch.arange(y.shape[0], device=y.device)]
    order = y.argsort(stable=True)
    counts = torch.bincount(y, minlength=len(heads)).tolist()
    groups = zip(heads, torch.split(h[order], counts), strict=True)
    out = torch.cat([head(rows) for head, rows in groups if len(rows)])
    return out[order.argsort()]


def _all_heads(heads: nn.ModuleList, h: Tensor) -> Tensor:
    """Apply all K heads to all N rows and return (K, N, style_dim); each layer is one product for all heads."""
    stacked = h.expand(len(heads), *h.shape)
    for layers in zip(*(head if isinstance(head, nn.Sequential) else [head] for head in heads), strict=True):
        if isinstance(layers[0], nn.Linear):
            weights, biases = (torch.stack([getattr(layer, name) for layer in layers]) for name in ("weight", "bias"))
            stacked = torch.baddbmm(biases[:, None], stacked, weights.mT)
        else:
            stacked = layers[0](stacked)
    return stacked
