import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from whet.engines.sampling import choose, inverse, keep
from whet.types import Decoding

P = torch.tensor([[0.4, 0.05, 0.3, 0.05, 0.2]])  # a distribution to cut by hand
NONE = Decoding()


def kept(decoding: Decoding, probabilities: torch.Tensor = P) -> list[int]:
    return keep(probabilities.log(), decoding)[0].nonzero().flatten().tolist()


def forbid(*ids: int):
    def processor(tokens: torch.Tensor, logits: torch.Tensor) -> torch.Tensor:
        return logits.index_fill(0, torch.tensor(ids), -torch.inf)

    return processor


def u(*values: float) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float64)


def test_top_k_keeps_the_greatest_and_the_lower_id_among_equals():
    assert kept(Decoding(top_k=1)) == [0]
    assert kept(Decoding(top_k=3)) == [0, 2, 4]
    assert kept(Decoding(top_k=4)) == [0, 1, 2, 4]
    assert kept(Decoding(top_k=99)) == [0, 1, 2, 3, 4]


def test_top_p_keeps_the_fewest_that_reach_it():
    assert kept(Decoding(top_p=0.39)) == [0]
    assert kept(Decoding(top_p=0.41)) == [0, 2]
    assert kept(Decoding(top_p=0.69)) == [0, 2]
    assert kept(Decoding(top_p=0.89)) == [0, 2, 4]
    assert kept(Decoding(top_p=0.96)) == [0, 1, 2, 3, 4]


def test_min_p_keeps_what_is_not_far_below_the_greatest():
    assert kept(Decoding(min_p=0.49)) == [0, 2, 4]
    assert kept(Decoding(min_p=0.51)) == [0, 2]
    assert kept(Decoding(min_p=0.1)) == [0, 1, 2, 3, 4]


def test_top_p_is_a_share_of_what_top_k_left():
    assert kept(Decoding(top_k=2, top_p=0.58)) == [0, 2]  # 0.4 / 0.7 = 0.571...
    assert kept(Decoding(top_k=2, top_p=0.57)) == [0]


def test_the_log_of_the_kept_mass_is_stored_beside_the_full_log_prob():
    chosen = choose(P.log(), Decoding(top_k=2), u(0.9))
    assert chosen.tokens.tolist() == [2]
    torch.testing.assert_close(chosen.logprobs, torch.tensor([math.log(0.3)]))
    torch.testing.assert_close(chosen.log_kept, torch.tensor([math.log(0.7)]))
    assert chosen.kept is not None
    assert chosen.kept.tolist() == [[True, False, True, False, False]]


def test_nothing_cut_off_is_no_mask_and_log_mass_0():
    chosen = choose(P.log(), NONE, u(0.5))
    assert chosen.kept is None
    assert chosen.log_kept.tolist() == [0.0]


def test_the_uniform_number_is_a_share_of_the_cumulative_mass():
    logits = P.log().expand(6, -1)
    chosen = choose(logits, NONE, u(0.0, 0.39, 0.41, 0.449, 0.76, 0.999))
    assert chosen.tokens.tolist() == [0, 0, 1, 1, 3, 4]


def test_a_token_of_no_probability_is_never_chosen():
    masses = torch.tensor([[0.0, 0.5, 0.0, 0.5, 0.0]], dtype=torch.float64).expand(4, -1)
    assert inverse(masses, u(0.0, 0.5, 0.75, np.nextafter(1, 0))).tolist() == [1, 3, 3, 3]
    assert inverse(masses, u(1.0, 1.0, 1.0, 1.0)).tolist() == [3, 3, 3, 3]  # a share that rounding lifted to the total


@given(
    st.lists(st.floats(-80, 80) | st.just(-math.inf), min_size=2, max_size=12).filter(lambda x: max(x) > -80),
    st.floats(0, 1, exclude_max=True),
    st.sampled_from([NONE, Decoding(top_k=2), Decoding(top_p=0.7), Decoding(min_p=0.2), Decoding(temperature=0.3)]),
)
def test_only_kept_tokens_of_some_probability_are_chosen(logits, draw, decoding):
    row = torch.tensor([logits])
    chosen = choose(row, decoding, u(draw))
    token = int(chosen.tokens)
    assert keep(row / decoding.temperature, decoding)[0, token]
    assert chosen.logprobs.item() > -math.inf
    assert chosen.log_kept.item() <= 0


def test_temperature_divides_the_logits():
    chosen = choose(P.log(), Decoding(temperature=2.0), u(0.0))
    root = P.sqrt() / P.sqrt().sum()
    torch.testing.assert_close(chosen.logprobs, root[:, 0].log())


def test_greedy_takes_the_greatest_with_its_log_prob_at_temperature_1():
    chosen = choose(P.log(), Decoding(temperature=0), u(0.999))
    assert chosen.tokens.tolist() == [0]
    torch.testing.assert_close(chosen.logprobs, P[:, 0].log())


def test_a_processor_forbids_tokens_and_the_log_prob_stays_that_of_the_whole():
    chosen = choose(P.log(), Decoding(processors=(forbid(0, 4),)), u(0.99), [torch.tensor([7])])
    assert chosen.tokens.tolist() == [3]
    torch.testing.assert_close(chosen.logprobs, torch.tensor([math.log(0.05)]))
    torch.testing.assert_close(chosen.log_kept, torch.tensor([math.log(0.4)]))
    greedy = choose(P.log(), Decoding(temperature=0, processors=(forbid(0),)), u(0.0), [torch.tensor([7])])
    assert greedy.tokens.tolist() == [2]


def test_processors_come_before_top_k_and_see_each_rows_own_tokens():
    seen = []

    def look(tokens: torch.Tensor, logits: torch.Tensor) -> torch.Tensor:
        seen.append(tokens.tolist())
        return forbid(int(tokens[-1]))(tokens, logits)

    chosen = choose(
        P.log().expand(2, -1),
        Decoding(top_k=1, processors=(look,)),
        u(0.5, 0.5),
        [torch.tensor([0]), torch.tensor([2])],
    )
    assert seen == [[0], [2]]
    assert chosen.tokens.tolist() == [2, 0]


def test_processors_that_forbid_everything_or_change_the_shape_are_refused():
    with pytest.raises(ValueError, match="every token"):
        choose(P.log(), Decoding(processors=(forbid(0, 1, 2, 3, 4),)), u(0.5), [torch.tensor([0])])
    with pytest.raises(ValueError, match="shape"):
        choose(P.log(), Decoding(processors=(lambda tokens, logits: logits[:2],)), u(0.5), [torch.tensor([0])])


def test_logits_that_are_no_numbers_are_refused():
    with pytest.raises(ValueError, match="not numbers"):
        choose(torch.tensor([[0.0, math.nan]]), NONE, u(0.5))


def test_draws_follow_the_distribution():
    draws = torch.from_numpy(np.random.default_rng(0).random(20000))
    tokens = choose(P.log().expand(20000, -1), NONE, draws).tokens
    torch.testing.assert_close(torch.bincount(tokens, minlength=5) / 20000, P[0], atol=0.015, rtol=0)


def test_a_processor_for_all_rows_is_asked_once():
    asked = []

    class Together:
        together = True

        def __call__(self, histories: list[torch.Tensor], logits: torch.Tensor) -> torch.Tensor:
            asked.append([history.tolist() for history in histories])
            return logits.masked_fill(torch.arange(logits.shape[1]) != torch.tensor([[2], [0]]), -torch.inf)

    rows = [torch.tensor([7]), torch.tensor([8, 9])]
    chosen = choose(P.log().expand(2, -1), Decoding(processors=(Together(),)), u(0.5, 0.5), rows)
    assert asked == [[[7], [8, 9]]] and chosen.tokens.tolist() == [2, 0]
    assert chosen.log_kept.tolist() == pytest.approx(P[0, [2, 0]].log().tolist())


def test_a_processor_for_all_rows_must_give_logits_of_their_shape():
    class Short:
        together = True

        def __call__(self, histories: list[torch.Tensor], logits: torch.Tensor) -> torch.Tensor:
            return logits[:, :-1]

    with pytest.raises(ValueError, match="expected"):
        choose(P.log(), Decoding(processors=(Short(),)), u(0.5), [torch.tensor([7])])


def test_the_kept_mass_of_everything_is_exactly_1():
    logits = torch.randn(50, 1000, generator=torch.Generator().manual_seed(0))
    decoding = Decoding(processors=(lambda tokens, row: row,), store_mask=True)
    chosen = choose(logits, decoding, torch.full((50,), 0.5, dtype=torch.float64), [torch.tensor([7])] * 50)
    assert chosen.kept is not None and chosen.kept.all() and not chosen.log_kept.any()
