"""StarGAN v2 as one writes it down from its definition: what the product is measured against.

Plain modules and plain autograd; nothing is shared between uses, frozen, merged or fused. Parameters are named as in
the product, so that its state dicts load.
"""
