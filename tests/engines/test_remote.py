"""A model behind an endpoint, against a real server on this machine: what it answers, what it costs, how it fails."""

from __future__ import annotations

import asyncio
import json
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from helpers.model_small import play, shaken
from helpers.runs import SMALL, metrics, sums
from helpers.runs import go as run_stages
from helpers.server import Server
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from whet.cli import app
from whet.describe import fingerprint
from whet.engines.native import Native
from whet.engines.remote import Endpoint, Remote
from whet.engines.remote_http import Refused
from whet.engines.remote_said import said, scored
from whet.models.derived import Copy
from whet.models.tiny import TinyLlama
from whet.objectives.clip import Clip
from whet.rewards.judge import Judge
from whet.rewards.verified import exact
from whet.rollouts.sample import Sample
from whet.run import Run, Save
from whet.scoring import Weighted, judged
from whet.stages.learning import Train
from whet.stages.rl import RL
from whet.tracks.reference import Logprobs
from whet.types import Decoding, Problem, Trajectory, sampled_count

CHAT = Problem("p", [{"role": "system", "content": "Add."}, {"role": "user", "content": "2+2="}], "4")


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Each test has a cache of its own."""
    monkeypatch.setenv("WHET_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def remote(server: Server, **more: Any) -> Remote:
    return replace(Remote(server.url, "small", deadline=20.0, backoff=0.01, tries=3), **more)


def ask(
    endpoint: Endpoint, *problems: Problem, decoding: Decoding | None = None, seeds: tuple[int, ...] = ()
) -> list[Trajectory]:
    """One attempt at each problem, all at once."""

    async def everyone() -> list[Trajectory]:
        calls = zip(problems, seeds or range(len(problems)), strict=True)
        return await asyncio.gather(
            *(endpoint.extend(endpoint.open(p), decoding or Decoding(max_tokens=8), seed) for p, seed in calls)
        )

    return asyncio.run(everyone())


# -- what is asked and answered ---------------------------------------------------------------------------------------


def test_a_chat_goes_on_turn_by_turn() -> None:
    with Server(lambda body: f"<think>hm</think>{len(body['messages'])}") as server:
        endpoint = Endpoint(remote(server), "judge")
        (first,) = ask(endpoint, CHAT, decoding=Decoding(max_tokens=7, temperature=0.5, top_p=0.9, stop=("!",)))
        asked = endpoint.insert(first, "and now?", "env")
        second = asyncio.run(endpoint.extend(asked, Decoding(max_tokens=7, temperature=0.5), 1))
        sent = [request["body"] for request in server.seen]
    assert [request["path"] for request in server.seen] == ["/v1/chat/completions"] * 2
    assert sent[0] == {
        "model": "small",
        "messages": CHAT.prompt,
        "max_tokens": 7,
        "temperature": 0.5,
        "top_p": 0.9,
        "seed": 0,
        "stop": ["!"],
    }
    assert sent[1]["messages"][2:] == [{"role": "assistant", "content": "2"}, {"role": "user", "content": "and now?"}]
    assert [(t.role, t.text) for t in second.turns] == [
        ("prompt", "Add.\n2+2="),
        ("policy", "<think>hm</think>2"),
        ("env", "and now?"),
        ("policy", "<think>hm</think>4"),
    ]
    assert second.stop == "eos" and sampled_count(second) == 2 * len("<think>hm</think>2")


def test_plain_text_goes_to_completions_and_as_a_message_where_there_are_only_chats() -> None:
    with Server(lambda body: "4") as server:
        (plain,) = ask(Endpoint(remote(server)), Problem("p", "2+2="))
        ask(Endpoint(remote(server, chat=True)), Problem("p", "2+2="))
    assert plain.turns[-1].text == "4"
    assert [request["path"] for request in server.seen] == ["/v1/completions", "/v1/chat/completions"]
    assert server.seen[0]["body"]["prompt"] == "2+2="
    assert server.seen[1]["body"]["messages"] == [{"role": "user", "content": "2+2="}]


def test_a_real_model_answers_through_the_wire_as_it_does_here() -> None:
    engine = Native(shaken(SMALL))
    prompts = ["1+1=", "2+1=", "13+5="]
    short = Decoding(max_tokens=6)
    here = play(engine, prompts, short, seeds=(5, 6, 7))
    with Server(model=engine) as server:
        there = ask(Endpoint(remote(server)), *(Problem(p, p) for p in prompts), decoding=short, seeds=(5, 6, 7))
    assert [t.turns[-1].text for t in there] == [t.turns[-1].text for t in here]
    assert [t.stop for t in there] == [t.stop for t in here]


def test_nothing_of_a_remote_row_is_trained() -> None:
    with Server(lambda body: "four") as server:
        (attempt,) = ask(Endpoint(remote(server), "teacher"), CHAT)
    row = attempt.rows[0]
    assert row.model == "teacher" and row.sampled.tolist() == [False] + [True] * 4
    assert not row.trained.any() and not row.logprobs.any() and sampled_count(attempt) == 4


def test_ids_and_logprobs_are_taken_where_the_server_tells_them() -> None:
    answer = {
        "prompt_token_ids": [9, 8, 7],
        "choices": [
            {
                "message": {"content": "ab"},
                "finish_reason": "stop",
                "stop_reason": "!",
                "token_ids": [3, 4, 5],
                "logprobs": {"content": [{"logprob": -0.5}, {"logprob": -1.5}, {"logprob": -2}]},
            }
        ],
        "usage": {"prompt_tokens": 3, "completion_tokens": 3},
    }
    with Server(faults=[json.dumps(answer)]) as server:
        endpoint = Endpoint(replace(remote(server), server="vllm", logprobs=True))
        (attempt,) = ask(endpoint, CHAT, decoding=Decoding(max_tokens=9, top_k=5, min_p=0.1, stop_tokens=(2,)))
        body = server.seen[0]["body"]
    assert body["return_token_ids"] and body["logprobs"] is True
    assert (body["top_k"], body["min_p"], body["stop_token_ids"]) == (5, 0.1, [2])
    row = attempt.rows[0]
    assert row.tokens.tolist() == [9, 8, 7, 3, 4, 5] and row.logprobs.tolist() == [0, 0, 0, -0.5, -1.5, -2]
    assert row.truncated and [(t.start, t.stop) for t in attempt.turns] == [(0, 3), (3, 6)]
    assert attempt.stop == "stop" and attempt.turns[-1].text == "ab!"


def test_a_row_is_scored_as_the_model_itself_scores_it() -> None:
    engine = Native(shaken(SMALL))
    rows = [t.rows[0] for t in play(engine, ["1+1=", "13+5="], Decoding(max_tokens=6))]
    here = asyncio.run(engine.score(rows))
    with Server(model=engine) as server:
        there = asyncio.run(Endpoint(remote(server)).score(rows))
    for ours, theirs in zip(here, there, strict=True):
        torch.testing.assert_close(ours["logprobs"], theirs["logprobs"])


def test_an_endpoint_that_does_not_score_says_so() -> None:
    row = play(Native(shaken(SMALL)), ["1+1="], Decoding(max_tokens=3))[0].rows[0]
    with Server() as server:
        endpoint = Endpoint(remote(server))
        with pytest.raises(ValueError, match=f"{server.url} does not score .*says nothing of the prompt"):
            asyncio.run(endpoint.score([row]))
        assert len(server.seen) == 1
        with pytest.raises(ValueError, match=r"temperature 1, got 0\.5"):
            asyncio.run(endpoint.score([replace(row, temperature=0.5)]))
        with pytest.raises(ValueError, match="gives log-probs only"):
            asyncio.run(endpoint.score([row], ("values",)))


def test_prompt_logprobs_must_speak_of_the_same_tokens() -> None:
    answer = {"choices": [{"text": "", "prompt_logprobs": [None, {"7": {"logprob": -0.5}, "2": {"logprob": -0.1}}]}]}
    assert scored(answer, [5, 7]) == [0.0, -0.5]
    with pytest.raises(ValueError, match="do not speak of token 8"):
        scored(answer, [5, 8])
    with pytest.raises(ValueError, match="2 tokens for a row of 3"):
        scored(answer, [5, 7, 7])


def test_what_a_remote_model_can_not_do_is_a_clear_error() -> None:
    with Server() as server:
        endpoint = Endpoint(remote(server), "judge")
        (done,) = ask(endpoint, CHAT)
        plain = endpoint.open(Problem("p", "2+2="))
        mine = play(Native(shaken(SMALL)), ["1+1="], Decoding(max_tokens=3))[0]
        calls: list[tuple[Any, str]] = [
            (lambda: endpoint.reopen(done, [1]), "gets text, not tokens"),
            (lambda: endpoint.graft(done, done), "never trained"),
            (lambda: endpoint.cut(done, 0, 2) and endpoint.cut(ask(endpoint, CHAT, CHAT)[0], 0, 0), "cut got stop 0"),
            (lambda: endpoint.insert(done, "more"), "goes by messages: insert with a role"),
            (lambda: endpoint.insert(plain, "more", "user"), "goes on with a text: insert without a role"),
            (lambda: asyncio.run(endpoint.extend(done, Decoding(), 0)), "amid an answer of a chat"),
            (lambda: asyncio.run(endpoint.extend(mine, Decoding(), 0)), "can not go on with rows of 'policy'"),
            (lambda: ask(endpoint, CHAT, decoding=Decoding(top_k=3)), 'has no top_k; set server="vllm"'),
            (lambda: ask(endpoint, CHAT, decoding=Decoding(store_mask=True)), "has no store_mask"),
            (lambda: endpoint.open(Problem("p", ["a", 3])), "'p' holds int, and a remote model gets text only"),
        ]
        for call, words in calls:
            with pytest.raises(ValueError, match=words):
                call()


def test_a_conversation_is_cut_between_turns_only() -> None:
    with Server(lambda body: "four") as server:
        endpoint = Endpoint(remote(server))
        (done,) = ask(endpoint, CHAT)
        asked = endpoint.insert(done, "again?", "user")
        assert endpoint.cut(asked, 0, 5).turns == done.turns
        with pytest.raises(ValueError, match="only be cut between"):
            endpoint.cut(asked, 0, 3)


# -- retries, deadlines, numbers at a time ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "fault",
    ["500", "503", "429", "408", "hang up", "truncated", "endless", "slow", "<html>", "{}", '{"choices": []}', "[1]"],
)
def test_one_fault_is_tried_again(fault: str) -> None:
    with Server(faults=[fault]) as server:
        endpoint = Endpoint(remote(server, deadline=1.0 if fault == "slow" else 20.0))
        (attempt,) = ask(endpoint, CHAT)
        assert attempt.turns[-1].text == "4" and attempt.stop == "eos"
        meter = endpoint.meter
        assert (len(server.seen), meter.requests, meter.retries, meter.calls, meter.failed) == (2, 2, 1, 1, 0)


@pytest.mark.parametrize(
    ("fault", "said_of_it"),
    [
        ("500", "500: fault 500; tried 3 times"),
        ("<html>", "no JSON but '<html>'"),
        ('{"error": 1}', "it has no choices, but error"),
        ('{"choices": [{"message": {"content": 5}}]}', "no text but int"),
        ('{"choices": [{"text": "a"}], "usage": {"prompt_tokens": -1}}', "usage.prompt_tokens is -1"),
        ("[" * 100_000, "no JSON but"),
        ("slow", "no whole answer within 0.2 s"),
        ("400", "refused the request, 400: fault 400"),
    ],
)
def test_what_is_never_answered_is_an_attempt_in_error(fault: str, said_of_it: str) -> None:
    with Server() as server:
        server.always = fault
        endpoint = Endpoint(remote(server, deadline=0.2 if fault == "slow" else 20.0), "judge")
        started = time.monotonic()
        (attempt,) = ask(endpoint, CHAT)
        assert fault != "slow" or 0.6 <= time.monotonic() - started < 4  # of the 15 s that the server would take
        assert attempt.stop == "error" and said_of_it in attempt.info["error"], attempt.info
        tried = 1 if fault == "400" else 3
        assert (endpoint.meter.failed, endpoint.meter.requests) == (1, tried)
        assert len(server.seen) == tried or (fault == "slow" and len(server.seen) < tried)  # too late even to be read
        reward = Weighted({"correct": exact})
        group = asyncio.run(Sample(2, model="judge")({"judge": endpoint}, CHAT, 0))[0]
        scored_ = asyncio.run(reward({"judge": endpoint}, group))
        assert judged([scored_]) == []  # no verdict: it is in no mean and no loss


def test_retry_after_is_waited_for() -> None:
    with Server(faults=["429 0.6"]) as server:
        started = time.monotonic()
        ask(Endpoint(remote(server)), CHAT)
        assert 0.6 <= time.monotonic() - started < 5


def test_waits_are_drawn_by_the_call_and_grow() -> None:
    def seconds(seed: int) -> float:
        with Server(faults=["500"] * 4) as server:
            started = time.monotonic()
            ask(Endpoint(remote(server, tries=5, backoff=0.04, cache=False)), CHAT, seeds=(seed,))
            return time.monotonic() - started

    assert all(0.5 * 0.04 * 15 <= seconds(seed) < 1.5 * 0.04 * 15 + 2 for seed in range(2))  # 1 + 2 + 4 + 8


def test_no_more_requests_than_allowed_are_on_their_way() -> None:
    with Server(delay=lambda n: 0.03) as server:
        ask(Endpoint(remote(server, concurrency=3)), *[CHAT] * 12)
        assert server.most == 3 and len(server.seen) == 12


def test_many_failures_in_a_row_end_it() -> None:
    with Server() as server:
        server.always = "500"
        endpoint = Endpoint(remote(server, patience=3, tries=1, concurrency=1))
        with pytest.raises(ValueError, match=r"3 calls in a row failed; the last: .*500"):
            ask(endpoint, *[CHAT] * 8)


# -- cost, cache, keys ------------------------------------------------------------------------------------------------


def test_cost_is_tokens_times_prices() -> None:
    with Server(lambda body: "four") as server:
        endpoint = Endpoint(remote(server, price_in=2.0, price_out=10.0))
        ask(endpoint, CHAT, CHAT)
        meter = endpoint.meter
    assert (meter.calls, meter.requests, meter.prompt_tokens, meter.completion_tokens) == (2, 2, 2 * 8, 2 * 4)
    assert meter.cost == pytest.approx((16 * 2 + 8 * 10) / 1e6)


def test_a_call_that_was_answered_is_not_sent_again() -> None:
    with Server(lambda body: str(body["seed"])) as server:
        first = ask(Endpoint(remote(server)), CHAT, CHAT)
        again = Endpoint(remote(server, price_in=1.0))
        assert [t.turns for t in ask(again, CHAT, CHAT)] == [t.turns for t in first]
        assert len(server.seen) == 2 and (again.meter.cached, again.meter.requests, again.meter.cost) == (2, 0, 0)
        assert again.meter.completion_tokens == 2
        ask(again, CHAT, CHAT, seeds=(2, 3))  # other seeds are other calls
        assert len(server.seen) == 4
        ask(Endpoint(remote(server, cache=False)), CHAT, CHAT)
        assert len(server.seen) == 6


def test_greedy_calls_are_one_whatever_their_seed() -> None:
    with Server() as server:
        endpoint = Endpoint(remote(server))
        ask(endpoint, *[CHAT] * 5, decoding=Decoding(max_tokens=3, temperature=0.0))
        assert len(server.seen) == 1 and "seed" not in server.seen[0]["body"]
        assert (endpoint.meter.calls, endpoint.meter.cached) == (5, 4)


def test_a_torn_file_of_the_cache_is_asked_anew(cache: Path) -> None:
    with Server() as server:
        ask(Endpoint(remote(server)), CHAT)
        (file,) = (cache / "remote").rglob("*.json")
        for torn in ("", '{"choices": [', "[]", '{"choices": [{"text": 3}]}'):
            file.write_text(torn)
            assert ask(Endpoint(remote(server)), CHAT)[0].turns[-1].text == "4"
        assert len(server.seen) == 5


def test_failures_are_not_kept(cache: Path) -> None:
    with Server(faults=["400"]) as server:
        endpoint = Endpoint(remote(server))
        assert [ask(endpoint, CHAT)[0].stop for _ in range(2)] == ["error", "eos"]


def test_at_the_budget_no_further_request_is_sent() -> None:
    with Server(lambda body: "four") as server:
        endpoint = Endpoint(remote(server, price_out=1e6, budget=10.0, concurrency=1))
        with pytest.raises(Refused, match="has cost 12 USD, and the budget is 10"):
            ask(endpoint, *[CHAT] * 9)
        assert len(server.seen) == 3


def test_the_key_is_sent_and_written_nowhere(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_KEY", "sk-very-secret-key")
    with Server(key="sk-very-secret-key", answer=lambda body: "you sent sk-very-secret-key") as server:
        endpoint = Endpoint(remote(server, key="MY_KEY"))
        (attempt,) = ask(endpoint, CHAT)
        assert server.seen[0]["key"] == "Bearer sk-very-secret-key"
        assert attempt.turns[-1].text == "you sent ***" and "secret" not in repr(endpoint._calls.http)
    assert all("secret" not in file.read_text() for file in cache.rglob("*.json"))
    monkeypatch.setenv("MY_KEY", "sk-wrong-but-secret")
    with Server(key="sk-very-secret-key") as server, pytest.raises(Refused, match="wants another key") as caught:
        ask(Endpoint(remote(server, key="MY_KEY", cache=False)), CHAT)
    assert "secret" not in str(caught.value) and "***" in str(caught.value)
    monkeypatch.delenv("MY_KEY")
    with pytest.raises(ValueError, match="the environment has no MY_KEY"):
        Endpoint(remote(server, key="MY_KEY"))


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"url": "localhost:8000"}, "must begin with http"),
        ({"url": "http://me:secret@host/v1"}, "may be 'http://host/v1', and no more"),
        ({"url": "http://host/v1?key=secret"}, "may be 'http://host/v1', and no more"),
        ({"model": ""}, "model is empty"),
        ({"key": "sk-secret"}, "is the name of an environment variable"),
        ({"tries": 0}, "tries must be at least 1"),
        ({"deadline": 0}, "deadline must be more than 0"),
        ({"price_in": -1.0}, "price_in must be 0 or more"),
        ({"budget": 1.0}, "needs price_in or price_out"),
        ({"server": "llama"}, 'must be "openai" or "vllm"'),
    ],
)
def test_settings_that_can_not_be_meant_are_refused(wrong: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words) as caught:
        Remote(**{"url": "http://host/v1", "model": "m", **wrong})
    assert "secret" not in str(caught.value)


def test_how_it_is_asked_is_no_part_of_a_recipe_and_what_is_asked_is() -> None:
    spec = Remote("http://host/v1", "m", price_in=1.0, budget=5.0)
    assert fingerprint(spec) == fingerprint(replace(spec, budget=9.0, key="OTHER_KEY", deadline=9.0, cache=False))
    assert fingerprint(spec) != fingerprint(replace(spec, model="n"))


# -- the check before any work ----------------------------------------------------------------------------------------


def test_an_endpoint_that_is_down_is_named(tmp_path: Path) -> None:
    with Server() as server:
        spec = remote(server)
    with pytest.raises(ValueError, match=rf"no endpoint answers: {server.url}/models: no connection .*start it"):
        Endpoint(spec).check()
    stage = replace(STAGE, models={"judge": spec})
    with pytest.raises(ValueError, match="no endpoint answers"):
        run_stages(tmp_path, stage)
    assert not (tmp_path / "metrics.jsonl").exists()


def test_a_model_that_is_not_served_is_named_with_those_that_are() -> None:
    with Server(names=("large", "huge")) as server, pytest.raises(ValueError, match="no 'small' but large, huge"):
        Endpoint(remote(server)).check()


def test_an_endpoint_without_a_list_is_asked_for_a_token() -> None:
    with Server(names=()) as server:
        Endpoint(remote(server, chat=True)).check()
        assert [request["body"]["max_tokens"] for request in server.seen] == [1]
        server.always = "404"
        with pytest.raises(ValueError, match="is not there, 404"):
            Endpoint(remote(server)).check()
        server.always = "<html>"
        with pytest.raises(ValueError, match=r"no model answers: .*no JSON but '<html>'"):
            Endpoint(remote(server)).check()


# -- answers of any kind ----------------------------------------------------------------------------------------------

_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["choices", "message", "content", "text", "usage", "logprobs", "token_ids", "x"]), inner
        )
    ),
    max_leaves=12,
)


@given(_json)
def test_an_answer_of_any_kind_is_read_or_refused(answer: Any) -> None:
    for shape in (answer, {"choices": [answer]}, {"choices": [{"text": "a", "logprobs": answer}], "usage": answer}):
        try:
            told = said(shape)
        except ValueError:
            continue
        assert isinstance(told.text, str) and told.completion_tokens >= 0
        assert len(told.logprobs) in (0, told.completion_tokens) and len(told.ids) in (0, told.completion_tokens)


# -- in a run ---------------------------------------------------------------------------------------------------------

STAGE = RL(
    task=sums(20),
    rollout=Sample(group=3, decoding=Decoding(max_tokens=4)),
    reward=Weighted({"judged": Judge(), "correct": exact}, weights={"correct": 0.5}),
    train={"policy": Train(Clip(), lr=1e-2)},
    problems=3,
    steps=2,
    save=Save(every=1),
)


def score(body: dict[str, Any]) -> str:
    """A judge's number that depends on what it was asked."""
    return f"SCORE: {sum(map(ord, body['messages'][-1]['content'])) % 11}"


def told(folder: Path) -> list[dict[str, Any]]:
    """Metrics without times and without what was paid: an answer from the cache is paid once."""
    paid = tuple(f"judge/{name}" for name in ("cached", "requests", "retries", "cost"))
    return [{k: v for k, v in line.items() if not k.startswith(("time/", *paid))} for line in metrics(folder)]


def test_a_remote_judge_teaches_and_what_it_costs_is_logged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("JUDGE_KEY", "sk-judge-secret-0123")
    with Server(score, key="sk-judge-secret-0123") as server:
        spec = remote(server, price_in=1.0, price_out=2.0, key="JUDGE_KEY", cache=False)
        run = run_stages(tmp_path, replace(STAGE, models={"judge": spec}))
        assert len(server.seen) == 18
    lines = metrics(tmp_path)
    assert [line["judge/calls"] for line in lines] == [9, 9]
    assert all(line["outcome/judged/scored"] == 1 and 0 <= line["reward/judged"] <= 1 for line in lines)
    assert all(line["updates"] == 1 and line["groups/mixed"] > 0 for line in lines)
    cost = sum(line["judge/prompt_tokens"] + 2 * line["judge/completion_tokens"] for line in lines) / 1e6
    assert sum(line["judge/cost"] for line in lines) == pytest.approx(cost)
    kept = json.loads((tmp_path / "remote.json").read_text())["judge"]
    assert kept["calls"] == 18 and kept["cost"] == pytest.approx(cost) and kept["model"] == "small"
    assert all(b"secret" not in file.read_bytes() for file in tmp_path.rglob("*") if file.is_file())
    assert set(run.lms) == {"policy"}


def test_how_fast_the_judge_is_changes_nothing(tmp_path: Path) -> None:
    for name, delay in (("fast", lambda n: 0.0), ("slow", lambda n: 0.05 * (n * 7 % 5) / 5)):
        with Server(score, delay=delay) as server:
            run_stages(tmp_path / name, replace(STAGE, models={"judge": remote(server, cache=False)}))
    assert told(tmp_path / "fast") == told(tmp_path / "slow")


def test_who_shares_a_batch_does_not_depend_on_how_fast_a_partner_is() -> None:
    lm = shaken(SMALL)

    def played(delay: Any) -> tuple[list[list[float]], int]:
        engine = Native(lm, engine="reference")

        async def talk(endpoint: Endpoint, i: int) -> Trajectory:
            mine = await engine.extend(engine.open(Problem("p", f"{i}+1=")), Decoding(max_tokens=1 + i % 3), i)
            said = await endpoint.extend(endpoint.open(Problem("p", mine.turns[-1].text or "?")), Decoding(), i)
            return await engine.extend(engine.insert(mine, said.turns[-1].text), Decoding(max_tokens=3), i)

        async def everyone(endpoint: Endpoint) -> list[Trajectory]:
            return await asyncio.gather(*(talk(endpoint, i) for i in range(6)))

        with Server(lambda body: "12", delay=delay) as server:
            done = asyncio.run(everyone(Endpoint(remote(server, cache=False))))
        return [t.rows[0].logprobs.tolist() for t in done], engine.waves

    fast, slow = played(lambda n: 0.0), played(lambda n: 0.05 * (n * 7 % 4))
    assert fast == slow and fast[1] == 2


def test_an_endpoint_is_evaluated_from_the_command_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EVAL_KEY", "sk-eval-secret-0123")

    def right(body: dict[str, Any]) -> str:
        """The sum; wrong for every other seed."""
        first, second = body["messages"][-1]["content"].removesuffix("=?").split("+")
        return f"<answer>{int(first) + int(second) + body['seed'] % 2}</answer>"

    def evaluated(*words: str) -> Any:
        small = ("--set", "terms=2", "--set", "operators=+", "--samples", "2", "--problems", "20", "--json")
        return CliRunner().invoke(app, ["eval", *words, "--task", "chain-sum", *small])

    with Server(right, key="sk-eval-secret-0123") as server:
        shown = evaluated(f"{server.url}#small", "--chat", "--key", "EVAL_KEY")
        assert shown.exit_code == 0, (shown.output, shown.exception)
        found = json.loads(shown.stdout)
        assert found["outcomes"].keys() == {"right", "wrong"}
        assert found["calls"]["requests"] - found["calls"]["retries"] == 40
        asked = len(server.seen)
        assert found["metrics"]["pass@1"]["value"] == found["outcomes"]["right"] / 40
        again = json.loads(evaluated(f"{server.url}#small", "--chat", "--key", "EVAL_KEY").stdout)
        assert len(server.seen) == asked and again["calls"]["requests"] == 0 and again["metrics"] == found["metrics"]
        assert "secret" not in shown.output
        url = server.url
        for words, said_of_it in (
            ((url,), f"say which: {url}#NAME"),
            ((f"{url}#small", "--key", "NO_SUCH"), "the environment has no NO_SUCH"),
            ((f"{url}#large", "--key", "EVAL_KEY"), "serves no 'large' but small"),
            ((f"{url}#small", "--seed", "5"), "wants another key"),
        ):
            shown = evaluated(*words)
            assert shown.exit_code == 2 and said_of_it in shown.stderr, (words, shown.stderr)
        server.key, server.always = "", "400"
        shown = evaluated(f"{url}#small", "--seed", "6")
        assert shown.exit_code == 2 and "400: fault 400" in shown.stderr
    shown = evaluated(f"{url}#small")
    assert shown.exit_code == 2 and f"no endpoint answers: {url}/models" in shown.stderr


def test_a_run_with_a_judge_is_resumed_exactly_and_pays_nothing_twice(tmp_path: Path) -> None:
    with Server(score) as server:
        spec = remote(server, price_in=1.0)
        run_stages(tmp_path / "whole", replace(STAGE, steps=3, models={"judge": spec}))

        async def die(run: Run, step: int, scored_P: Any) -> None:
            if step == 1:
                raise ValueError("killed")

        stage = replace(STAGE, steps=3, models={"judge": replace(spec, cache=False)})
        with pytest.raises(ValueError, match="killed"):
            run_stages(tmp_path / "cut", replace(stage, callbacks=[die]))
        paid = json.loads((tmp_path / "cut" / "remote.json").read_text())["judge"]
        assert paid["calls"] == 18  # the step that was lost is counted
        before = len(server.seen)
        run_stages(tmp_path / "cut", replace(STAGE, steps=3, models={"judge": spec}))
        assert len(server.seen) == before  # all of it is in the cache
    assert told(tmp_path / "cut") == told(tmp_path / "whole")
    again = json.loads((tmp_path / "cut" / "remote.json").read_text())["judge"]
    assert again["calls"] == 18 + 18 and again["cost"] == paid["cost"]


def test_a_judge_that_fails_gives_no_verdict_and_is_counted(tmp_path: Path) -> None:
    with Server(score, faults=["400", "", "", "400"]) as server, pytest.warns(RuntimeWarning, match="does not answer"):
        run_stages(tmp_path, replace(STAGE, steps=1, models={"judge": remote(server, cache=False)}))
    (line,) = metrics(tmp_path)
    assert line["outcome/failed"] == pytest.approx(2 / 9) == line["outcome/judged/unanswered"]
    assert line["judge/failed"] == 2


def test_a_remote_teacher_is_a_track(tmp_path: Path) -> None:
    engine = Native(shaken(SMALL, seed=3))
    plain = replace(STAGE, steps=1, reward=Weighted({"correct": exact}), tracks=[Logprobs("teacher", "teacher")])
    with Server(model=engine) as server:
        run_stages(tmp_path, replace(plain, models={"teacher": remote(server, deadline=9.0)}))
        assert [request["body"]["echo"] for request in server.seen] == [True] * 9


def test_another_model_of_the_same_tokens_is_a_teacher_and_one_of_other_tokens_is_refused(tmp_path: Path) -> None:
    plain = replace(STAGE, steps=1, reward=Weighted({"correct": exact}), tracks=[Logprobs("teacher", "teacher")])
    run = run_stages(tmp_path / "a", replace(plain, models={"teacher": TinyLlama(width=32, layers=1, context=64)}))
    assert set(run.lms) == {"policy"}
    other = TinyLlama(width=32, layers=1, context=64, alphabet="ab")
    with pytest.raises(ValueError, match=r"tracks\.0\.model asks 'teacher' to score .* its tokenizer is another one"):
        run_stages(tmp_path / "b", replace(plain, models={"teacher": other}))


@pytest.mark.filterwarnings("ignore:judge")
def test_a_model_of_other_tokens_plays_and_goes_on_after_a_stop(tmp_path: Path) -> None:
    other = TinyLlama(width=32, layers=1, context=4096)
    judge = Judge(model="partner", chat=False, read=r"(\S)", decoding=Decoding(max_tokens=2))  # reads a digit, at best
    reward = Weighted({"judged": judge, "correct": exact}, {"judged": 0.0})
    stage = replace(STAGE, reward=reward, models={"partner": other})
    run_stages(tmp_path / "whole", stage)

    async def die(run: Run, step: int, scored_P: Any) -> None:
        if step == 1:
            raise ValueError("killed")

    with pytest.raises(ValueError, match="killed"):
        run_stages(tmp_path / "cut", replace(stage, callbacks=[die]))
    run_stages(tmp_path / "cut", stage)
    assert repr(told(tmp_path / "cut")) == repr(told(tmp_path / "whole"))


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"train": {"policy": Train(Clip()), "judge": Train(Clip())}}, "is remote and can not be trained"),
        ({"train": {"policy": Train(Clip(), rows="judge")}}, "is remote and can not be learned from"),
        ({"copy": True}, "is remote and can not be copied"),
    ],
)
def test_a_remote_model_is_never_trained(tmp_path: Path, change: dict[str, Any], words: str) -> None:
    with Server() as server:
        models: dict[str, Any] = {"judge": remote(server)}
        if change.pop("copy", False):
            models["twin"] = Copy("judge")
        with pytest.raises(ValueError, match=words):
            run_stages(tmp_path, replace(STAGE, models=models, **change))
