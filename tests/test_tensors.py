"""The plan of an iteration: what is the same tensor, what has a graph, what is computed when and kept how long."""

from __future__ import annotations

import types
from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest
import torch

from i2i_core import detached
from i2i_core.plan.check import check_recipe
from i2i_core.plan.draws import Draws
from i2i_core.plan.flow import plan_iteration, planner_of
from i2i_core.plan.planner import PlannedPhase, Planner, Request, RequestedTerm, Unresolved
from i2i_core.plan.tensors import Node, define, method_tensors, reached
from i2i_core.recipe.reading import parse_recipe

Phases = dict[str, PlannedPhase]


@pytest.fixture(scope="module")
def plan_of(plugins) -> Callable[..., Phases]:
    """The plan of the quick start's iteration, by phase."""

    def planned(*sets: str) -> Phases:
        text = plugins.recipes()["stargan_v2.yaml"].read_text()
        checked = check_recipe(parse_recipe(text, "stargan_v2.yaml", sets), plugins)
        return {phase.name: phase for phase in plan_iteration(planner_of(checked, checked.fields), checked)}

    return planned


@pytest.fixture(scope="module")
def stargan(plan_of) -> Phases:
    return plan_of()


def below(node: Node) -> Iterator[Node]:
    yield node
    for _, argument in node.arguments:
        yield from below(argument)


def needed(phase: PlannedPhase) -> set[Node]:
    """Everything that a phase's losses are computed from, networks aside."""
    return {n for term in phase.terms for _, a in term.arguments for n in below(a) if n.kind != "network"}


def node(phase: PlannedPhase, name: str) -> Node:
    """What `name` is in a phase; it must be one thing."""
    (found,) = {n for n in needed(phase) if n.name == name and n.kind == "tensor"}
    return found


# StarGAN v2's iteration.


def test_the_content_of_x_real_is_computed_once_for_three_phases(stargan):
    content = node(stargan["d_latent"], "content")
    assert content is node(stargan["d_reference"], "content") is node(stargan["g_latent"], "content")
    assert [name for name, phase in stargan.items() if content in phase.compute] == ["d_latent"]
    assert content in stargan["d_reference"].reuse
    assert content in stargan["g_latent"].reuse


def test_the_generators_step_makes_another_content(stargan):
    content = node(stargan["g_reference"], "content")
    assert content is not node(stargan["g_latent"], "content")
    assert dict(content.arguments)["generator"].version == 1
    assert content in stargan["g_reference"].compute


def test_the_fake_that_d_judges_is_the_fake_that_g_is_trained_by(stargan):
    x_fake = node(stargan["d_latent"], "x_fake")
    assert x_fake is node(stargan["g_latent"], "x_fake")
    assert x_fake.graph
    assert x_fake in stargan["d_latent"].compute
    assert x_fake in stargan["g_latent"].reuse


def test_a_fake_that_only_d_needs_has_no_graph(stargan):
    assert not node(stargan["d_reference"], "x_fake").graph
    assert not node(stargan["d_reference"], "s_reference").graph


def test_g_reference_has_a_fake_of_its_own(stargan):
    x_fake = node(stargan["g_reference"], "x_fake")
    assert x_fake not in {node(stargan[phase], "x_fake") for phase in ("d_latent", "d_reference", "g_latent")}
    assert x_fake.graph


def test_styles_have_no_graph_where_only_the_generator_is_trained(stargan):
    phase = stargan["g_reference"]
    assert [node(phase, s).graph for s in ("s_reference", "s_reference2", "s_org")] == [False, False, False]
    assert node(phase, "s_pred").graph  # a function of x_fake, which is trained
    assert [node(stargan["g_latent"], s).graph for s in ("s_latent", "s_org", "s_pred")] == [True, True, True]


def test_a_gradient_trains_the_networks_of_the_phases_that_take_it_and_passes_the_others(stargan):
    trains = {
        phase: {
            name: node(planned, name).trains
            for name in ("s_pred", "x_fake", "real_logits", "fake_logits")
            if any(n.name == name for n in needed(planned))
        }
        for phase, planned in stargan.items()
    }
    all_of_g = {"generator", "mapping_network", "style_encoder"}
    assert trains["g_latent"] == {
        "s_pred": all_of_g,
        "x_fake": {"generator", "mapping_network"},
        "fake_logits": {"generator", "mapping_network"},
    }  # through D, which is frozen
    assert trains["g_reference"] == dict.fromkeys(("s_pred", "x_fake", "fake_logits"), {"generator"})
    assert trains["d_reference"] == {
        "x_fake": set(),
        "real_logits": {"discriminator"},
        "fake_logits": {"discriminator"},
    }


def test_the_second_fake_and_what_only_it_uses_have_no_graph(stargan):
    phase = stargan["g_latent"]
    assert [node(phase, name).graph for name in ("x_fake2", "s_latent2", "z_trg2")] == [False, False, False]
    assert node(phase, "content").graph


def test_masks_of_x_real_are_made_once_per_iteration(stargan):
    assert len({node(phase, "masks") for phase in stargan.values()}) == 1
    assert [name for name, phase in stargan.items() if node(phase, "masks") in phase.compute] == ["d_latent"]
    assert not node(stargan["d_latent"], "masks").graph


def test_masks_of_fakes_are_made_once_per_fake(stargan):
    assert node(stargan["g_latent"], "fake_masks") is not node(stargan["g_reference"], "fake_masks")
    assert "fake_masks" not in {n.name for n in needed(stargan["d_latent"])}


def test_the_latent_of_two_phases_is_one_draw(stargan):
    assert node(stargan["d_latent"], "z_trg") is node(stargan["g_latent"], "z_trg")
    assert node(stargan["g_latent"], "z_trg") is not node(stargan["g_latent"], "z_trg2")


def test_what_no_loss_asks_for_is_not_computed(plan_of, stargan):
    assert {"x_fake2", "s_latent2"} <= {n.name for n in stargan["g_latent"].compute}
    less = plan_of("losses.generator.diversity={use: l1, input: x_fake, target: x_real}")
    assert not {"x_fake2", "s_latent2", "s_reference2", "z_trg2", "x_ref2"} & {
        n.name for phase in less.values() for n in (*phase.compute, *phase.reuse)
    }


def test_everything_is_computed_once_before_it_is_used_and_kept_until_its_last_use(stargan):
    held: set[Node] = set()
    ever: set[Node] = set()
    for phase in stargan.values():
        assert not ever & set(phase.compute)
        for made in phase.compute:
            assert {n for _, n in made.arguments if n.kind != "network"} <= held
            held.add(made)
            ever.add(made)
        assert needed(phase) <= held
        assert set(phase.reuse) | set(phase.compute) == needed(phase)
        held -= set(phase.release)
        assert set(phase.release) <= needed(phase)
    assert not held


def test_the_plan_knows_who_asked(stargan):
    assert node(stargan["d_latent"], "x_fake").asked_by == [
        "fake_logits",
        "s_pred",
        "g_latent/diversity",
        "x_rec",
        "fake_masks",
    ]


def test_another_choice_of_what_is_trained_is_another_plan(plan_of):
    """Training the style encoder by references too, which the paper does not: its styles then have a graph."""
    phase = plan_of("phases.g_reference.train=[generator, style_encoder]")["g_reference"]
    assert [node(phase, s).graph for s in ("s_reference", "s_reference2", "s_org")] == [True, False, True]


# The rules, on tensors of one letter.


def planned(functions, *requests, networks=("net",), fields=("x",), replaced=()) -> list[PlannedPhase]:
    made = {f.__name__: define(f.__name__, f) for f in replaced}
    made |= {f.__name__: replace(define(f.__name__, f), replaces=made.get(f.__name__)) for f in functions}
    return Planner(made, networks, fields).iteration(
        [
            Request(
                f"p{i}",
                trains,
                where,
                [
                    RequestedTerm(loss.__name__, define(loss.__name__, loss), lambda step: 1.0, where=own)
                    for loss, own in losses
                ],
            )
            for i, (trains, where, losses) in enumerate(requests)
        ]
    )


def argument(phase: PlannedPhase, term: int = 0) -> Node:
    return phase.terms[term].arguments[0][1]


def a(net, x): ...
def b(a): ...
def loss(b): ...
def loss_of_a(a): ...


def test_an_alias_leads_to_what_it_names_through_a_chain():
    (phase,) = planned([a], ((), {"b": "c", "c": "a"}, [(loss, {})]))
    assert argument(phase).name == "a"


def test_aliases_that_name_each_other_swap():
    def swapped(x, y): ...

    (phase,) = planned([], ((), {"x": "y", "y": "x"}, [(swapped, {})]), fields=("x", "y"))
    assert [(name, found.name) for name, found in phase.terms[0].arguments] == [("x", "y"), ("y", "x")]


def test_an_alias_holds_for_its_phase_or_its_term_only():
    first, second = planned([a, b], ((), {"b": "x"}, [(loss, {})]), ((), {}, [(loss, {"b": "a"}), (loss, {})]))
    assert [argument(first).name, argument(second).name, argument(second, 1).name] == ["x", "a", "b"]


def test_a_terms_alias_wins_over_its_phases():
    (phase,) = planned([a, b], ((), {"b": "x"}, [(loss, {"b": "a"})]))
    assert argument(phase).name == "a"


def test_an_alias_reaches_what_lies_deeper_and_makes_it_another_tensor():
    plain, aliased = planned([a, b], ((), {}, [(loss, {})]), ((), {"x": "y"}, [(loss, {})]), fields=("x", "y"))
    assert argument(plain) is not argument(aliased)
    assert {n.name for n in needed(aliased)} == {"a", "b", "y"}


def test_a_tensor_that_reads_its_own_name_wraps_what_it_replaces():
    def b(b): ...
    def old(a): ...

    old.__name__ = "b"
    (phase,) = planned([a, b], ((), {}, [(loss, {})]), replaced=[old])
    outer = argument(phase)
    inner = outer.arguments[0][1]
    assert (outer.definition.call, inner.definition.call) == (b, old)
    assert {n.name for n in below(inner)} == {"b", "a", "net", "x"}


def test_a_tensor_called_like_a_batch_field_wraps_the_field():
    def x(x): ...

    (phase,) = planned([x, a, b], ((), {}, [(loss, {})]))
    assert [n.kind for n in phase.compute if n.name == "x"] == ["field", "tensor"]


def test_a_tensor_that_reads_its_own_name_and_replaces_nothing_needs_itself():
    def b(b): ...

    with pytest.raises(Unresolved, match="b -> b") as error:
        planned([b], ((), {}, [(loss, {})]))
    assert error.value.cycle


def test_what_stands_in_for_a_tensor_may_be_made_of_it():
    def pool(a): ...

    (phase,) = planned([a, b, pool], ((), {"a": "pool"}, [(loss, {})]))
    b_node = argument(phase)
    assert [(name, node.name) for name, node in b_node.arguments] == [("a", "pool")]
    assert [(name, node.name) for name, node in b_node.arguments[0][1].arguments] == [("a", "a")]


def test_an_argument_with_a_default_is_left_out_when_nothing_makes_it():
    def b(a, mask=None): ...
    def mask(x): ...

    (without,), (given,) = (planned(f, ((), {}, [(loss, {})])) for f in ([a, b], [a, b, mask]))
    assert [name for name, _ in argument(without).arguments] == ["a"]
    assert [name for name, _ in argument(given).arguments] == ["a", "mask"]


def test_a_network_is_another_thing_after_its_step_and_what_does_not_use_it_is_not():
    def both(a, c): ...
    def c(other, x): ...

    first, second = planned([a, c], (["net"], {}, [(both, {})]), (["net"], {}, [(both, {})]), networks=("net", "other"))
    (a1, c1), (a2, c2) = ([n for _, n in phase.terms[0].arguments] for phase in (first, second))
    assert (a1 is a2, c1 is c2) == (False, True)
    assert (a1.graph, c1.graph) == (True, False)


def test_a_later_phase_gives_an_earlier_one_the_graph_it_needs():
    first, _ = planned(
        [a, b], (["other"], {}, [(loss, {})]), (["net"], {}, [(loss_of_a, {})]), networks=("net", "other")
    )
    assert (node(first, "a").graph, node(first, "b").graph) == (True, False)


def test_no_gradient_reaches_a_network_through_a_detached_tensor():
    @detached
    def b(a): ...
    def l_a(a, b): ...

    (phase,) = planned([a, b], (["net"], {}, [(loss, {})]))
    assert [n.graph for n in needed(phase) if n.kind == "tensor"] == [False, False]
    assert reached(phase.terms[0].arguments) == set()
    (phase,) = planned([a, b], (["net"], {}, [(l_a, {})]))
    assert (node(phase, "a").graph, node(phase, "b").graph) == (True, False)
    assert reached(phase.terms[0].arguments) == {"net"}


def test_two_draws_differ_and_one_is_the_same_for_whoever_asks():
    draws = Draws(0, 3, 0, 4, 4, torch.device("cpu"), torch.float32)
    assert torch.equal(draws.normal("z_trg")(16), draws.normal("z_trg")(16))
    assert not torch.equal(draws.normal("z_trg")(16), draws.normal("z_trg2")(16))


def test_a_methods_page_is_its_own_public_functions():
    page = types.ModuleType("page")
    exec(
        "from torch.nn.functional import relu\nKEY = 1\ndef a(x): ...\ndef _hidden(x): ...\nclass Big: ...\n"
        "def b(a, *, gain=1): ...",
        page.__dict__,
    )
    assert {name: dict(d.reads) for name, d in method_tensors(page).items()} == {"a": {"x": "x"}, "b": {"a": "a"}}
