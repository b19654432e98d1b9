"""What was read or written is not read again, and what is kept changes nothing but the time."""

import asyncio
from dataclasses import replace

import numpy as np
import pytest
import torch
from helpers.architectures import WINDOW, model
from helpers.model_small import extend, generated, problems, shaken
from torch import nn

from whet.engines.native import Native
from whet.engines.prefixes import Prefixes
from whet.models.lm import LM
from whet.models.tiny import TinyQwen
from whet.types import Decoding, Media, Problem, Trajectory

QWEN = shaken(TinyQwen(context=256))
GREEDY = Decoding(max_tokens=12, temperature=0)
HOT = Decoding(max_tokens=12, temperature=1.6)
ALL = 2**30


def native(lm: LM = QWEN, memory: int = ALL, rows: int = 256) -> Native:
    return Native(lm, rows=rows, memory=memory, engine="reference")


def assert_right(lm: LM, t: Trajectory) -> None:
    """The sampler's log-probs of the last row are those of one forward pass over all of it."""
    row = t.rows[-1]
    with torch.no_grad():
        logits = lm.hf(input_ids=row.tokens[None]).logits[0, :-1].float() / (row.temperature or 1.0)
    full = logits.log_softmax(-1).gather(1, row.tokens[1:, None]).squeeze(1)
    torch.testing.assert_close(row.logprobs[1:][row.sampled[1:]], full[row.sampled[1:]], atol=1e-5, rtol=0)


def assert_same(warm: Trajectory, cold: Trajectory) -> None:
    assert warm.rows[-1].tokens.equal(cold.rows[-1].tokens)
    torch.testing.assert_close(warm.rows[-1].logprobs, cold.rows[-1].logprobs, atol=1e-5, rtol=0)


def turns(engine: Native, count: int, decoding: Decoding) -> list[Trajectory]:
    """Conversations of `count` turns on prompts of several lengths."""
    played = [engine.open(p) for p in problems(["a", "2+3=", "so " * 7])]
    for turn in range(count):
        if turn:
            played = [engine.insert(t, "and " * (i + 1) + str(turn)) for i, t in enumerate(played)]
        played = extend(engine, played, decoding, seeds=range(10 * turn, 10 * turn + 3))
    return played


# ----------------------------------------------------------------------------------------------- turns and branches


def test_a_conversation_reads_each_token_once():
    engine = native()
    played = turns(engine, 4, HOT)
    for t in played:
        assert_right(QWEN, t)
    # All is read that nobody wrote, and the last token of each turn: it was written, but nothing came of it yet.
    given = sum(int((~t.rows[0].sampled).sum()) for t in played)
    assert engine.read == given + 3 * len(played)


@pytest.mark.parametrize("decoding", [GREEDY, HOT], ids=["greedy", "hot"])
def test_turns_are_those_of_an_engine_that_keeps_nothing(decoding):
    forgetful = native(memory=0)
    for warm, cold in zip(turns(native(), 3, decoding), turns(forgetful, 3, decoding), strict=True):
        assert_same(warm, cold)
    assert forgetful.read > native().read


def test_a_tree_reads_its_trunk_once():
    engine = native()
    (trunk,) = extend(engine, [engine.open(Problem("p", "how many are there? "))], HOT, seeds=[1])
    assert engine.read == 20
    leaves = extend(engine, [trunk] * 5, HOT, seeds=range(5))
    assert engine.read == 21  # all five read the last token, in one
    twigs = extend(engine, [engine.insert(leaf, "!") for leaf in leaves for _ in range(2)], HOT, seeds=range(10))
    assert engine.read == 21 + 5 * 2
    for t in (*leaves, *twigs):
        assert_right(QWEN, t)


def test_a_cut_row_goes_on_from_what_is_kept_of_it():
    engine = native()
    (t,) = extend(engine, [engine.open(Problem("p", "2+3="))], GREEDY)
    before = engine.read
    places = [5, 8, 11, 15]
    again = extend(engine, [engine.cut(t, 0, place) for place in places], replace(GREEDY, max_tokens=5))
    assert engine.read == before + len(places)
    for place, cut in zip(places, again, strict=True):
        assert cut.rows[0].tokens[:16].equal(t.rows[0].tokens[: place + 5])
        assert_right(QWEN, cut)


def test_a_graft_behind_a_known_prompt_reads_only_what_follows_it():
    engine = native()
    bare = engine.open(Problem("p", "what is 2+3? "))
    (_, hinted) = extend(engine, [bare, engine.insert(bare, "(it is 5) ")], HOT)
    sampled = int(hinted.rows[0].sampled.sum())
    before = engine.read
    (t,) = extend(engine, [engine.graft(hinted, bare)], HOT, seeds=[7])
    assert engine.read == before + sampled
    row = t.rows[0]
    with torch.no_grad():
        logits = QWEN.hf(input_ids=row.tokens[None]).logits[0, :-1] / 1.6
    full = logits.log_softmax(-1).gather(1, row.tokens[1:, None]).squeeze(1)
    new = len(bare.rows[0]) + sampled
    torch.testing.assert_close(row.logprobs[new:], full[new - 1 :], atol=1e-5, rtol=0)


def test_prompts_that_begin_alike_are_read_once_as_far_as_they_do():
    engine = native()
    extend(engine, [engine.open(Problem("p", "the sum of 2 and 3"))], HOT)
    assert engine.read == 18
    extend(engine, [engine.open(Problem("q", "the sum of 7 and 3"))], HOT)
    assert engine.read == 18 + 7
    extend(engine, [engine.open(Problem("r", "the"))], HOT)
    assert engine.read == 18 + 7 + 1


def test_contexts_with_and_without_a_past_may_wait_together():
    engine = native()
    first = turns(engine, 1, HOT)
    mixed = [engine.insert(t, "x" * n) for t, n in zip(first, (1, 40, 3), strict=True)]
    mixed += [engine.open(p) for p in problems(["y" * 60, "z"])]
    for warm, cold in zip(
        extend(engine, mixed, HOT, seeds=range(5)), extend(native(memory=0), mixed, HOT, seeds=range(5)), strict=True
    ):
        assert_same(warm, cold)


@pytest.mark.parametrize("kind", ["gemma2", "gemma3", "mistral", "phi3", "gpt2"])
def test_turns_with_windows_and_learned_positions_go_on_as_transformers_would(kind, tmp_path_factory):
    lm = model(kind, tmp_path_factory.getbasetemp() / "prefixes")
    engine = native(lm)
    played = [engine.open(p) for p in problems(["2+3=", "how much is 17+8? it is "])]
    for turn in range(3):
        played = [engine.insert(t, f" so {turn} then?") for t in played]
        before = [t.rows[0].tokens for t in played]
        assert turn == 0 or min(map(len, before)) > 2 * WINDOW
        played = extend(engine, played, GREEDY)
        for t, tokens in zip(played, before, strict=True):
            assert t.rows[0].tokens[len(tokens) :].tolist() == generated(lm, tokens, 12)
    given = sum(int((~t.rows[0].sampled).sum()) for t in played)
    assert engine.read == given + 2 * len(played)


def test_media_are_known_by_their_values():
    lm = shaken(TinyQwen(context=160))
    lm.encoders["patch"] = nn.Linear(4, 96)
    pictures = [Media("patch", torch.full((3, 4), float(i)), 3) for i in range(2)]
    opened = [native(lm).open(Problem("p", ["see ", picture])) for picture in pictures]
    engine = native(lm)
    a, b = extend(engine, opened, HOT, seeds=[1, 1])
    assert engine.read == 2 * 7  # the text is read with each, as they came together
    assert not a.rows[0].logprobs.equal(b.rows[0].logprobs)
    (again,) = extend(engine, [opened[1]], HOT, seeds=[1])  # its end lies in the picture
    assert engine.read == 2 * 7 + 1
    assert_same(again, b)
    asked = [engine.insert(t, "what?") for t in (a, b)]
    warm = extend(engine, asked, HOT, seeds=[2, 2])
    assert engine.read == 2 * 7 + 1 + 2 * 6
    for w, c in zip(warm, extend(native(lm, memory=0), asked, HOT, seeds=[2, 2]), strict=True):
        assert_same(w, c)
    other = replace(pictures[0], values=pictures[0].values.clone())
    before = engine.read
    extend(engine, [engine.open(Problem("p", ["see ", other]))], HOT)
    assert engine.read == before + 3  # equal numbers in another tensor may change: they are read


# ------------------------------------------------------------------------------------------------------- forgetting


def test_new_weights_are_noticed():
    lm = shaken(TinyQwen(context=160))
    engine = native(lm)
    first = extend(engine, [engine.open(Problem("p", "2+3="))], GREEDY)
    with torch.no_grad():
        lm.hf.get_input_embeddings().weight.add_(0.05)
    (warm,) = extend(engine, first, GREEDY)
    assert engine.read == 4 + len(first[0].rows[0])
    (cold,) = extend(native(lm, memory=0), first, GREEDY)
    assert_same(warm, cold)


def test_nothing_is_kept_across_versions_even_if_the_version_is_the_same():
    engine = native()
    opened = engine.open(Problem("p", "2+3="))
    extend(engine, [opened], HOT)
    extend(engine, [opened], HOT)
    assert engine.read == 4 + 1
    engine.version = engine.version
    extend(engine, [opened], HOT)
    assert engine.read == 4 + 1 + 4


def test_what_is_kept_stays_within_its_room_and_does_not_change_what_is_played():
    plenty = native()
    expected = turns(plenty, 4, HOT)
    tokens = sum(len(t.rows[0]) for t in expected)
    token = 2 * 3 * 2 * 24 * 4  # bytes: keys and values, layers, heads, size, float32
    assert plenty.reader.prefixes.size <= tokens * token
    for room in (0, 10 * token, 60 * token):
        engine = native(memory=room)
        for t, wanted in zip(turns(engine, 4, HOT), expected, strict=True):
            assert_same(t, wanted)
        assert engine.reader.prefixes.size <= room
        assert engine.read > plenty.read
    with pytest.raises(ValueError, match="memory"):
        native(memory=-1)


# --------------------------------------------------------------------------------------------------------- the tree


def put(tree: Prefixes, text: str, start: int = 0) -> None:
    """Keys and values that say which token they are of, one number each."""
    key = np.frombuffer(text.encode(), np.uint8).astype(np.int64)
    tree.put(key, start, (torch.from_numpy(key[start:]).float().reshape(1, 1, -1, 1),))


def find(tree: Prefixes, text: str) -> str:
    known, parts = tree.find(np.frombuffer(text.encode(), np.uint8).astype(np.int64))
    said = "".join(chr(int(x)) for (part,) in parts for x in part.flatten())
    assert len(said) == known
    return said


def test_the_longest_common_prefix_is_found():
    tree = Prefixes(ALL)
    for text in ("abcde", "abxy", "abcdz", "q"):
        put(tree, text)
    put(tree, "abxyzzz", 4)
    asked = ("abcdefg", "abcx", "abxyzzzz", "abxyzq", "", "a", "z", "q")
    assert [find(tree, text) for text in asked] == ["abcde", "abc", "abxyzzz", "abxyz", "", "a", "", "q"]
    assert tree.size == 4 * len("abcdexyzzzzq")  # what is common is kept once


def test_what_hangs_in_the_air_is_not_kept():
    tree = Prefixes(ALL)
    put(tree, "abcd", 2)
    assert find(tree, "abcd") == ""
    assert tree.size == 0


def test_what_was_used_longest_ago_goes_first_from_the_ends_inwards():
    tree = Prefixes(4 * 8)
    put(tree, "abcd")
    put(tree, "abxy")
    find(tree, "abcd")
    put(tree, "pq")  # 8 in all
    assert tree.size == 4 * 8
    put(tree, "r")
    assert [find(tree, text) for text in ("abxy", "abcd", "pq", "r")] == ["ab", "abcd", "pq", "r"]
    assert tree.size == 4 * 7
    put(tree, "ABCDEFGHI")  # more than there is room for
    assert tree.size <= 4 * 8


def test_scores_and_samples_of_two_event_loops_share_what_is_kept():
    engine = native()
    opened = engine.open(Problem("p", "2+3="))
    for _ in range(2):
        asyncio.run(engine.extend(opened, HOT, 0))
    assert engine.read == 4 + 1
