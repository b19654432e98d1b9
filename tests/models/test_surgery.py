from dataclasses import replace

import pytest
import torch

from whet.models import surgery
from whet.models.codec import Codec
from whet.models.tiny import character_tokenizer
from whet.types import Media, Problem, Row, Trajectory, joined, tokens_in

CODEC = Codec(character_tokenizer())


def encoded(text: str) -> list[int]:
    return CODEC.tokenizer.encode(text)


def spoken(text: str, version: int = 3) -> Row:
    """Tokens as an engine hands them over."""
    row = surgery.given(encoded(text), trained=True)
    count = len(row)
    return replace(
        row,
        sampled=torch.ones(count, dtype=torch.bool),
        logprobs=-torch.arange(1.0, count + 1),
        versions=torch.full((count,), version, dtype=torch.int32),
        temperature=0.7,
        truncated=True,
    )


def attempt() -> Trajectory:
    """ "ab" + sampled "cde" + env "X" + sampled "fg", with the tracks that truncated sampling leaves."""
    t = CODEC.open(Problem("p", "ab"), 64)
    for text, env in (("cde", "X"), ("fg", "")):
        kept = torch.zeros(len(text), 5, dtype=torch.bool)
        tracks = {"log_kept": torch.full((len(text),), -0.5), "kept": kept}
        t = surgery.append(t, spoken(text), "policy", text, "stop", tracks)
        t = CODEC.insert(t, env) if env else t
    return t


def test_tracks_lie_over_all_tokens_and_are_neutral_where_nobody_sampled():
    t = attempt()
    assert CODEC.text(t.rows[0].tokens) == "abcdeXfg"
    assert t.tracks["log_kept"].tolist() == [0, 0, -0.5, -0.5, -0.5, 0, -0.5, -0.5]
    assert t.tracks["kept"].all(-1).tolist() == [True, True, False, False, False, True, False, False]
    assert t.rows[0].sampled.tolist() == [False, False, True, True, True, False, True, True]
    assert t.rows[0].temperature == 0.7
    assert t.rows[0].truncated


def test_a_row_is_reopened_with_a_context_nobody_sampled():
    t = CODEC.reopen(attempt(), encoded("zz"), "policy")
    assert [CODEC.text(row.tokens) for row in t.rows] == ["abcdeXfg", "zz"]
    assert not t.rows[1].sampled.any()
    assert not t.rows[1].trained.any()
    assert (t.rows[1].temperature, t.stop) == (1.0, "")
    assert t.tracks["log_kept"][8:].tolist() == [0, 0]
    assert t.tracks["kept"][8:].all()
    assert (t.turns[-1].role, t.turns[-1].row, t.turns[-1].text) == ("prompt", 1, "zz")


def test_a_row_can_not_be_reopened_with_nothing():
    with pytest.raises(ValueError, match="no tokens"):
        CODEC.reopen(attempt(), [], "policy")


def test_a_cut_forgets_later_rows_turns_and_tracks():
    t = CODEC.cut(CODEC.reopen(attempt(), encoded("zz"), "policy"), 0, 4)
    assert [CODEC.text(row.tokens) for row in t.rows] == ["abcd"]
    assert [(turn.role, turn.text, turn.stop) for turn in t.turns] == [("prompt", "ab", 2), ("policy", "cd", 4)]
    assert t.tracks["log_kept"].tolist() == [0, 0, -0.5, -0.5]
    assert t.tracks["kept"].shape == (4, 5)
    assert t.rows[0].logprobs.tolist() == [0, 0, -1, -2]
    assert t.stop == ""


def test_a_cut_in_a_later_row_keeps_the_earlier_ones():
    t = CODEC.cut(CODEC.reopen(attempt(), encoded("zz"), "policy"), 1, 1)
    assert [CODEC.text(row.tokens) for row in t.rows] == ["abcdeXfg", "z"]
    assert len(t.tracks["log_kept"]) == tokens_in(t) == 9


def test_a_cut_before_the_first_sample_forgets_the_temperature():
    row = CODEC.cut(attempt(), 0, 2).rows[0]
    assert (row.temperature, row.truncated) == (1.0, False)


def test_a_turn_cut_through_loses_its_reward():
    t = attempt()
    t = replace(t, turns=tuple(replace(turn, reward=1.0) for turn in t.turns))
    assert [turn.reward for turn in CODEC.cut(t, 0, 4).turns] == [1.0, 0.0]
    assert [turn.reward for turn in CODEC.cut(t, 0, 5).turns] == [1.0, 1.0]


@pytest.mark.parametrize(("row", "stop"), [(1, 1), (-1, 1), (0, 0), (0, 9)])
def test_a_cut_at_a_place_that_does_not_exist_is_refused(row, stop):
    with pytest.raises(ValueError, match="cut got"):
        CODEC.cut(attempt(), row, stop)


def test_a_medium_is_not_cut_through():
    t = CODEC.open(Problem("p", ["a", Media("image", torch.zeros(1), 3), "b"]), 64)
    assert len(CODEC.cut(t, 0, 4).rows[0].media) == 1
    assert CODEC.cut(t, 0, 1).rows[0].media == ()
    with pytest.raises(ValueError, match="inside"):
        CODEC.cut(t, 0, 2)


def test_a_graft_puts_the_sampled_tokens_and_what_is_between_them_behind_another_prompt():
    t = attempt()
    out = CODEC.graft(t, CODEC.open(Problem("bare", "wxyz"), 64))
    row = out.rows[0]
    assert CODEC.text(row.tokens) == "wxyzcdeXfg"
    assert row.sampled.tolist() == [False] * 4 + t.rows[0].sampled[2:].tolist()
    assert row.logprobs.tolist() == [0.0] * 4 + t.rows[0].logprobs[2:].tolist()
    assert row.versions.tolist() == [-1] * 4 + [3, 3, 3, -1, 3, 3]
    assert (row.temperature, row.truncated) == (0.7, True)
    assert out.tracks["log_kept"].tolist() == [0] * 4 + [-0.5, -0.5, -0.5, 0, -0.5, -0.5]
    assert out.tracks["kept"][:4].all()
    assert (out.problem.id, out.stop) == ("p", "stop")
    assert [(turn.role, turn.start, turn.stop) for turn in out.turns] == [
        ("prompt", 0, 4),
        ("policy", 4, 7),
        ("env", 7, 8),
        ("policy", 8, 10),
    ]


def test_a_graft_takes_the_last_row_with_its_tracks():
    t = CODEC.reopen(attempt(), encoded("hint"), "policy")
    t = surgery.append(t, spoken("q"), "policy", "q", "eos", {"log_kept": torch.tensor([-0.1])})
    out = CODEC.graft(t, CODEC.open(Problem("bare", "w"), 64))
    assert CODEC.text(joined(out, "tokens")) == "wq"
    torch.testing.assert_close(out.tracks["log_kept"], torch.tensor([0.0, -0.1]))
    assert [turn.text for turn in out.turns] == ["w", "q"]


def test_a_graft_is_marked_where_the_context_changed_and_stays_so_when_it_grows():
    t = attempt()
    assert not t.rows[0].grafted
    assert not CODEC.graft(t, CODEC.open(Problem("p", "ab"), 64)).rows[0].grafted
    out = CODEC.graft(t, CODEC.open(Problem("p", "a"), 64))
    assert out.rows[0].grafted and CODEC.insert(out, "more").rows[0].grafted
    more = surgery.append(out, spoken("z"), "policy", "z", "eos", {"log_kept": torch.tensor([-0.1])})
    assert more.rows[0].grafted


def test_nothing_sampled_is_nothing_to_graft():
    opened = CODEC.open(Problem("p", "ab"), 64)
    with pytest.raises(ValueError, match="nothing was sampled"):
        CODEC.graft(opened, opened)


def test_media_move_with_their_tokens():
    medium = Media("image", torch.zeros(1), 2)
    t = surgery.append(CODEC.open(Problem("p", ["hint", medium]), 64), spoken("c"), "policy", "c")
    t = CODEC.insert(t, [medium, "d"])
    out = CODEC.graft(t, CODEC.open(Problem("p", [medium, "a"]), 64))
    assert [m.start for m in out.rows[0].media] == [0, 4]
