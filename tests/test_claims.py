"""How a claim is judged."""

import math

import numpy as np
import pytest

from whet.claims import All, AtLeast, Better, Cheaper, Finding, Reaches, Sooner, Within, verdict
from whet.metrics.measures import During, Final
from whet.recipe import Paper, Recipe
from whet.recipes import quickstart

score = Final("pass@1")


def table(new: float, old: float, noise: float = 0.01, seeds: int = 8) -> dict[str, dict[str, np.ndarray]]:
    """Eight seeds and twenty problems about two means."""
    rng = np.random.default_rng(0)
    return {
        arm: {
            "pass@1": middle + noise * rng.standard_normal((seeds, 20)),
            "pass@1 before": np.full((seeds, 20), 0.2),
        }
        for arm, middle in (("new", new), ("old", old))
    }


@pytest.mark.parametrize(
    ("new", "old", "margin", "said"),
    [
        (0.6, 0.5, 0.0, "reproduced"),
        (0.5, 0.6, 0.0, "not reproduced"),
        (0.6, 0.5, 0.2, "not reproduced"),  # better, and shown to be less so than the margin
        (0.6, 0.5, 0.1, "inconclusive"),
    ],
)
def test_better_means_an_interval_above_the_margin(new: float, old: float, margin: float, said: str) -> None:
    (found,) = Better("new", than="old", metric=score, margin=margin).judge(table(new, old))
    assert found.verdict == said
    assert found.difference.value == pytest.approx(new - old, abs=0.01)


@pytest.mark.parametrize(("new", "said"), [(0.49, "reproduced"), (0.4, "not reproduced"), (0.45, "inconclusive")])
def test_within_lets_the_new_be_worse_by_less_than_the_margin(new: float, said: str) -> None:
    (found,) = Within("new", of="old", metric=score, margin=0.05).judge(table(new, 0.5))
    assert found.verdict == said


@pytest.mark.parametrize(("new", "said"), [(0.45, "reproduced"), (0.3, "not reproduced")])
def test_reaches_is_a_share_of_the_gap_between_start_and_other(new: float, said: str) -> None:
    (found,) = Reaches("new", of="old", metric=score, share=0.5).judge(table(new, 0.6))  # half of the gap is 0.4
    assert found.verdict == said
    assert found.difference.value == pytest.approx(new - 0.4, abs=0.01)


@pytest.mark.parametrize(
    ("new", "said"), [(0.2, "reproduced"), (0.4, "not reproduced"), (0.3, "inconclusive"), (0.7, "not reproduced")]
)
def test_cheaper_needs_less_than_a_share_of_what_the_other_needs(new: float, said: str) -> None:
    (found,) = Cheaper("new", than="old", metric=score, share=0.6).judge(table(new, 0.5))  # 60 % of it is 0.3
    assert found.verdict == said
    assert found.difference.value == pytest.approx(0.3 - new, abs=0.01)


def test_a_cost_that_is_the_same_in_every_run_is_judged() -> None:
    """Counts that do not depend on the seed: the interval has no width."""
    counts = {arm: {"pass@1": np.full((8, 1), cost)} for arm, cost in (("new", 118.0), ("old", 200.0))}
    (found,) = Cheaper("new", than="old", metric=score, share=0.6).judge(counts)
    assert found.verdict == "reproduced" and found.difference.low == pytest.approx(2)


@pytest.mark.parametrize(
    ("new", "old", "said"), [(0.6, 0.5, "reproduced"), (0.5, 0.6, "not reproduced"), (0.5, 0.5, "inconclusive")]
)
def test_sooner_compares_an_early_moment_of_one_arm_with_a_late_one_of_the_other(
    new: float, old: float, said: str
) -> None:
    early = During(7)
    numbers = table(new, old)
    for arm in numbers.values():
        arm[early.name] = arm["pass@1"] - 0.3  # what the new arm has early is all that counts of it
    numbers["new"] = {early.name: numbers["new"]["pass@1"]}
    claim = Sooner("new", than="old", early=early, late=score)
    (found,) = claim.judge(numbers)
    assert found.verdict == said
    assert found.difference.value == pytest.approx(new - old, abs=0.01)
    assert found.statement == "new has more pass@1 after 7 steps than old has pass@1"
    assert claim.arms() == ("new", "old") and [m.name for m in claim.measures()] == ["pass@1 after 7 steps", "pass@1"]


def test_better_may_set_one_time_against_another() -> None:
    early = During(5)
    numbers = table(0.6, 0.5)
    for of in numbers.values():
        of[early.name] = of["pass@1"] - 0.05
    claim = Better("new", than="old", metric=early, against=score)
    assert [measure.name for measure in claim.measures()] == ["pass@1 after 5 steps", "pass@1"]
    (found,) = claim.judge(numbers)
    assert found.verdict == "reproduced" and found.difference.value == pytest.approx(0.05, abs=0.01)
    assert found.statement == "new in pass@1 after 5 steps is above old in pass@1"
    (other,) = Better("old", than="new", metric=early, against=score).judge(numbers)
    assert other.verdict == "not reproduced"


def test_an_open_question_says_how_many_seeds_would_settle_it() -> None:
    (found,) = Better("new", than="old", metric=score).judge(table(0.502, 0.5, noise=0.2))
    assert found.verdict == "inconclusive"
    assert found.seeds is None or found.seeds > 8


def test_one_seed_settles_nothing() -> None:
    (found,) = Better("new", than="old", metric=score).judge(table(0.9, 0.1, seeds=1))
    assert found.verdict == "inconclusive" and math.isnan(found.difference.low)


def test_all_fails_with_one_and_is_open_with_one() -> None:
    numbers = table(0.6, 0.5)
    holds, fails, opens = Better("new", "old", score), Better("old", "new", score), Better("new", "old", score, 0.1)
    assert verdict(All([holds, holds]).judge(numbers)) == "reproduced"
    assert verdict(All([holds, opens]).judge(numbers)) == "inconclusive"
    assert verdict(All([holds, opens, fails]).judge(numbers)) == "not reproduced"
    assert All([holds, fails]).arms() == ["new", "old"]
    assert [m.name for m in All([holds, Reaches("new", "old", score, 0.5)]).measures()] == ["pass@1", "pass@1 before"]


def test_claims_that_can_not_be_meant_are_refused() -> None:
    with pytest.raises(ValueError, match="two different arms"):
        Better("a", than="a", metric=score)
    with pytest.raises(ValueError, match="two moments"):
        Sooner("a", than="b", early=score, late=score)
    with pytest.raises(ValueError, match="0 or more"):
        Better("a", than="b", metric=score, margin=-1.0)
    with pytest.raises(ValueError, match="above 0"):
        Within("a", of="b", metric=score, margin=0.0)
    with pytest.raises(ValueError, match=r"share must be above 0"):
        Cheaper("a", than="b", metric=score, share=0.0)
    with pytest.raises(ValueError, match="at least one"):
        All([])
    with pytest.raises(ValueError, match=r"claim speaks of dapo.*arms are grpo"):
        Recipe(
            model=quickstart.base,
            arms=quickstart.recipe.arms,
            paper=Paper("999", "x", "y"),
            claim=Better("dapo", than="grpo", metric=score),
        )


def test_findings_are_plain_values() -> None:
    (found,) = Better("new", than="old", metric=score).judge(table(0.6, 0.5))
    assert isinstance(found, Finding) and found.statement == "new is above old in pass@1"


def test_at_least_counts_the_best_and_tells_of_the_rest() -> None:
    low, high = Better("old", than="new", metric=score), Better("new", than="old", metric=score)
    open_ = Better("new", than="old", metric=score, margin=0.1)
    for count, claims, said in (
        (1, [low, open_, high], "reproduced"),
        (2, [low, open_, high], "inconclusive"),
        (3, [low, open_, high], "not reproduced"),
        (2, [high, low, high], "reproduced"),
    ):
        claim = AtLeast(count, claims)
        found = claim.judge(table(0.6, 0.5))
        assert verdict(found) == said and len(found) == 3 and sum(finding.counts for finding in found) == count
        assert list(claim.arms()) == list(All(claims).arms()) and list(claim.measures()) == [score]
    whole = AtLeast(1, [All([high, low]), All([high, open_])])
    assert [finding.counts for finding in whole.judge(table(0.6, 0.5))] == [False, False, True, True]


@pytest.mark.parametrize("count", [0, 2])
def test_at_least_asks_for_as_many_as_there_are(count: int) -> None:
    with pytest.raises(ValueError, match=r"AtLeast.count must lie in 1 .. 1"):
        AtLeast(count, [Better("new", than="old", metric=score)])
