"""Straightforward implementation of StarGAN v2, the baseline of the benchmarks.

It uses plain modules and plain autograd. No computation is shared, frozen, merged or fused. Parameters have the names
of the product, so that state dicts are interchangeable.
"""
