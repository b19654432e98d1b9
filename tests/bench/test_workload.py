from statistics import mean, median

import pytest

from bench.workload import CASES, InOrder, Sums, columns, model, right
from whet.stages.sft import worked


def lengths(kind: str) -> list[int]:
    """Tokens of the solutions that the models imitate, end-of-sequence included."""
    codec, task = model("S").build(0).codec, CASES["cpu"][f"S {kind}"].task
    texts = (str(task.problem("train", i).info["solution"]) for i in range(2000))
    return [len(codec.tokenizer.encode(text, add_special_tokens=False)) + 1 for text in texts]


def test_add_has_twelve_tokens_in_the_mean_and_at_most_24() -> None:
    found = lengths("add")
    assert 11 < mean(found) < 13
    assert max(found) <= 24


def test_long_has_31_tokens_in_the_mean_and_a_heavy_tail_that_is_cut() -> None:
    cut = [min(n, 128) for n in lengths("long")]
    assert 28 < mean(cut) < 34
    assert median(cut) < 0.8 * mean(cut)
    assert 0.01 < mean(n == 128 for n in cut) < 0.05


@pytest.mark.parametrize("size", ["S", "M"])
def test_models_have_64_tokens_and_room_for_the_longest(size: str) -> None:
    lm = model(size).build(0)
    assert lm.vocab == 64
    assert lm.context >= 128 + 20


def test_a_model_has_as_many_parameters_as_its_size_says() -> None:
    count = {size: sum(p.numel() for p in model(size).build(0).parameters()) for size in ("S", "M")}
    assert 0.9e6 < count["S"] < 1.1e6
    assert 5.5e6 < count["M"] < 6.5e6


def test_columns_carry() -> None:
    assert columns(95, 17) == "12,11"
    assert columns(5, 3) == "8"
    assert columns(999, 1) == "10,10,10"


@pytest.mark.parametrize("kind", ["add", "long"])
def test_solutions_are_right_and_fit_the_context(kind: str) -> None:
    lm, task = model("S").build(0), CASES["cpu"][f"S {kind}"].task
    for i in range(200):
        problem = task.problem("train", i)
        assert right(str(problem.info["solution"]), problem.answer)
        assert len(worked(lm.codec, problem, lm.context).rows[0]) <= lm.context


def test_another_sum_is_wrong() -> None:
    assert not right("12,11:113", "112")
    assert not right("", "112")


def test_problems_come_in_order_and_go_on_after_each_step() -> None:
    task, order = Sums(), InOrder()
    assert [p.id for p in order.draw(task, 2, seed=5)] == ["add/train/0", "add/train/1"]
    order.observe(0, [None, None], {})  # type: ignore[list-item]
    assert [p.id for p in order.draw(task, 2, seed=6)] == ["add/train/2", "add/train/3"]
