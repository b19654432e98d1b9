import pytest
from transformers import Qwen3Config

from bench import floor
from bench.workload import model

SMALL = floor.Shape(width=4, layers=1, heads=2, kv_heads=1, head=2, inter=8, vocab=10)


def test_parameters_are_those_of_the_linear_layers() -> None:
    assert SMALL.linears == {"qkv": (4, 8), "o": (4, 4), "gate and up": (4, 16), "down": (8, 4)}
    assert SMALL.parameters == 32 + 16 + 64 + 32


def test_operations_of_a_hand_computed_group() -> None:
    # a prompt of 2 and completions of 1 and 2: 5 tokens, 3 of them of completions
    linears = 2 * 144 * 5
    head = 2 * 4 * 10 * 3
    places = (1 + 2) + 3 + (3 + 4)
    attention = 4 * 1 * 2 * 2 * places
    assert floor.forward_operations(SMALL, [(2, [1, 2])]) == linears + head + attention == 1888


def test_a_prompt_counts_once_however_many_attempts_it_has() -> None:
    one, two = (floor.forward_operations(SMALL, [(50, [1] * n)]) for n in (1, 2))
    three = floor.forward_operations(SMALL, [(50, [1] * 3)])
    assert three - two == two - one == 2 * 144 + 2 * 4 * 10 + 4 * 1 * 2 * 2 * 51


def test_two_groups_cost_what_each_costs() -> None:
    groups = [(3, [4, 5]), (2, [1])]
    assert floor.forward_operations(SMALL, groups) == sum(floor.forward_operations(SMALL, [group]) for group in groups)


def test_the_shape_is_read_from_a_model() -> None:
    lm = model("S").build(0)
    shape = floor.Shape.of(lm.hf.config)
    linears = [p.numel() for name, p in lm.hf.named_parameters() if name.endswith("proj.weight")]
    assert shape.parameters == sum(linears)
    assert shape.vocab == lm.vocab


def test_heads_may_be_wider_than_their_share() -> None:
    config = Qwen3Config(hidden_size=64, num_attention_heads=4, head_dim=32)
    assert floor.Shape.of(config).head == 32


def test_the_best_rate_is_the_most_that_a_kernel_reached() -> None:
    rate = floor.rate(SMALL, [8], seconds=0.001)
    assert rate["best"] == pytest.approx(max(value for name, value in rate.items() if name != "best"))
    assert rate["best"] > 0


def test_decoding_reads_the_weights_once_a_step_and_each_context_once_a_token() -> None:
    # Two batches: the longest completions are of 3 and of 1 tokens, so the weights are read 4 times.
    groups = [(2, [1, 3]), (4, [2]), (1, [1])]
    places = 3 + (3 + 4 + 5) + (5 + 6) + 2
    assert floor.decoding_bytes(SMALL, groups, 2) == 4 * (4 * (144 + 4 * 10) + 2 * 1 * 1 * 2 * places)
