"""MUNIT as named tensors (Huang et al. 2018, section 3).

x_real is a picture x_a of domain A, x_ref a picture x_b of domain B. The recipe names the domains:
`data.targets: {A: B}`. Each domain has a content encoder E^c, a style encoder E^s, a decoder G and a discriminator D:
Ec_a, Es_a, G_a and D_a are those of domain A. Pictures have the shape (N, C, H, W) and values in [-1, 1].

s_a and s_b are the styles of translations into A and B. Recipes choose them by aliases: s_b_prior is a random style,
s_b_enc that of x_ref.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from torch import Tensor, nn

if TYPE_CHECKING:
    from .decoder import Decoder
    from .discriminator import Logits

# Content and style codes (section 3.1).


def c_a(Ec_a: nn.Module, x_real: Tensor) -> Tensor:
    """Content c_a = E^c_a(x_a)."""
    c: Tensor = Ec_a(x_real)
    return c


def c_b(Ec_b: nn.Module, x_ref: Tensor) -> Tensor:
    """Content c_b = E^c_b(x_b)."""
    c: Tensor = Ec_b(x_ref)
    return c


def s_a_enc(Es_a: nn.Module, x_real: Tensor) -> Tensor:
    """Style E^s_a(x_a)."""
    s: Tensor = Es_a(x_real)
    return s


def s_b_enc(Es_b: nn.Module, x_ref: Tensor) -> Tensor:
    """Style E^s_b(x_b)."""
    s: Tensor = Es_b(x_ref)
    return s


def s_a_prior(normal: Callable[..., Tensor], G_a: Decoder) -> Tensor:
    """Style from q(s_a) = N(0, I)."""
    return normal(G_a.style_dim)


def s_b_prior(normal: Callable[..., Tensor], G_b: Decoder) -> Tensor:
    """Style from q(s_b) = N(0, I)."""
    return normal(G_b.style_dim)


# Within-domain reconstruction (equation 1).


def x_aa(G_a: nn.Module, c_a: Tensor, s_a_enc: Tensor) -> Tensor:
    """G_a(E^c_a(x_a), E^s_a(x_a))."""
    x: Tensor = G_a(c_a, s_a_enc)
    return x


def x_bb(G_b: nn.Module, c_b: Tensor, s_b_enc: Tensor) -> Tensor:
    """G_b(E^c_b(x_b), E^s_b(x_b))."""
    x: Tensor = G_b(c_b, s_b_enc)
    return x


# Translation: the content of one domain with a style of the other.


def x_ab(G_b: nn.Module, c_a: Tensor, s_b: Tensor) -> Tensor:
    """x_{a→b} = G_b(c_a, s_b)."""
    x: Tensor = G_b(c_a, s_b)
    return x


def x_ba(G_a: nn.Module, c_b: Tensor, s_a: Tensor) -> Tensor:
    """x_{b→a} = G_a(c_b, s_a)."""
    x: Tensor = G_a(c_b, s_a)
    return x


# Latent reconstruction (equations 2 and 3).


def c_ab(Ec_b: nn.Module, x_ab: Tensor) -> Tensor:
    """E^c_b(x_{a→b}), which should be c_a."""
    c: Tensor = Ec_b(x_ab)
    return c


def c_ba(Ec_a: nn.Module, x_ba: Tensor) -> Tensor:
    """E^c_a(x_{b→a}), which should be c_b."""
    c: Tensor = Ec_a(x_ba)
    return c


def s_ab(Es_b: nn.Module, x_ab: Tensor) -> Tensor:
    """E^s_b(x_{a→b}), which should be s_b."""
    s: Tensor = Es_b(x_ab)
    return s


def s_ba(Es_a: nn.Module, x_ba: Tensor) -> Tensor:
    """E^s_a(x_{b→a}), which should be s_a."""
    s: Tensor = Es_a(x_ba)
    return s


# Style-augmented cycle consistency (section 5.1), an optional loss.


def x_aba(G_a: nn.Module, c_ab: Tensor, s_a_enc: Tensor) -> Tensor:
    """G_a(E^c_b(x_{a→b}), E^s_a(x_a)), which should be x_a."""
    x: Tensor = G_a(c_ab, s_a_enc)
    return x


def x_bab(G_b: nn.Module, c_ba: Tensor, s_b_enc: Tensor) -> Tensor:
    """G_b(E^c_a(x_{b→a}), E^s_b(x_b)), which should be x_b."""
    x: Tensor = G_b(c_ba, s_b_enc)
    return x


# Logits of the discriminators, a list with a tensor for each scale (equation 4).


def real_logits_a(D_a: nn.Module, x_real: Tensor) -> Logits:
    """D_a(x_a)."""
    logits: Logits = D_a(x_real)
    return logits


def fake_logits_a(D_a: nn.Module, x_ba: Tensor) -> Logits:
    """D_a(x_{b→a})."""
    logits: Logits = D_a(x_ba)
    return logits


def real_logits_b(D_b: nn.Module, x_ref: Tensor) -> Logits:
    """D_b(x_b)."""
    logits: Logits = D_b(x_ref)
    return logits


def fake_logits_b(D_b: nn.Module, x_ab: Tensor) -> Logits:
    """D_b(x_{a→b})."""
    logits: Logits = D_b(x_ab)
    return logits
