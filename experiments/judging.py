"""Judges on the host: a Python function or a served model, asked between compiled rounds.

    ledger = judging.Ledger()
    judge = judging.in_words(judging.chat("http://localhost:8000/v1", "judge"), describe, ledger)
    verdict = judge(first, second)  # segments [L, N, ...], of a compiled function

`describe` puts one segment into words. Answers are kept, so that no question is paid for twice;
a call that fails is tried again, and a pair without an answer has weight 0.
"""

import hashlib
import json
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from jaxrl.errors import require, require_non_negative
from jaxrl.rewards.judges import Verdict
from jaxrl.types import Transition

HostJudge = Callable[[Transition, Transition], Verdict]
"""(first segments [L, N, ...], second ones) -> the verdict on each pair, on the host."""
QUESTION = (
    "Two stretches of behaviour are described below. Which one is better: {wish}?\n\n"
    "First:\n{first}\n\nSecond:\n{second}\n\n"
    "Answer with the single word first, second or equal."
)
LABELS = {"first": 1.0, "second": 0.0, "equal": 0.5}


class Reply(NamedTuple):
    """What a model said, and what that took."""

    text: str
    asked: int = 0  # tokens of the question
    answered: int = 0  # tokens of the answer


@dataclass
class Ledger:
    """What a judge was asked, and what that cost."""

    questions: int = 0
    """Pairs that were put to the judge."""
    kept: int = 0
    """Pairs whose answer was known from before."""
    calls: int = 0
    """Calls of the model, those that failed included."""
    failures: int = 0
    """Calls that failed."""
    unanswered: int = 0
    """Pairs without an answer, because all calls failed, none of the words came back, or the money
    was spent."""
    asked: int = 0
    """Tokens of questions."""
    answered: int = 0
    """Tokens of answers."""
    spent: float = 0.0
    """Money spent, in the unit of the prices."""


def by_function(prefer: Callable[[Any, Any], float | None]) -> HostJudge:
    """The judge that calls a Python function for each pair of segments, as numpy arrays [L, ...].

    It returns the chance that the first is better, or None for no answer. Raises an InputError for
    any other number.
    """

    def judge(first: Transition, second: Transition) -> Verdict:
        found = [prefer(one, other) for one, other in pairs(first, second)]
        for label in found:
            require(
                label is None or 0 <= label <= 1,
                f"A judge returns a chance between 0 and 1, or None, but it returned {label}.",
            )
        return verdict(found)

    return judge


def pairs(first: Transition, second: Transition) -> list[tuple[Any, Any]]:
    """The N pairs of segments [L, ...] of segments [L, N, ...], as numpy arrays."""
    host = jax.tree.map(np.asarray, (first, second))
    at = lambda i: jax.tree.map(lambda x: x[:, i], host)
    return [at(i) for i in range(first.reward.shape[1])]


def verdict(found: list[float | None]) -> Verdict:
    """The verdict with a label for each pair, of weight 0 where there is none."""
    label = [0.5 if x is None else x for x in found]
    weight = [float(x is not None) for x in found]
    return Verdict(jnp.array(label, jnp.float32), jnp.array(weight, jnp.float32))


def chat(
    address: str, model: str, secret: str | None = None, seconds: float = 60.0
) -> Callable[[str], Reply]:
    """A served model that answers in the format of common chat interfaces.

    A question is posted to `address`/chat/completions as the only message of a user, with
    temperature 0; a `secret` is sent as a bearer token, and never written down.
    """
    place = f"{address.rstrip('/')}/chat/completions"

    def ask(question: str) -> Reply:
        body = {
            "model": model,
            "messages": [{"role": "user", "content": question}],
            "temperature": 0,
        }
        heads = {"Content-Type": "application/json"}
        if secret is not None:
            heads["Authorization"] = f"Bearer {secret}"
        request = urllib.request.Request(place, json.dumps(body).encode(), heads)
        with urllib.request.urlopen(request, timeout=seconds) as reply:
            told = json.loads(reply.read())
        used = told.get("usage") or {}
        tokens = (int(used.get(name, 0)) for name in ("prompt_tokens", "completion_tokens"))
        return Reply(str(told["choices"][0]["message"]["content"]), *tokens)

    return ask


# What a call to a server may raise: nobody there, no answer in time, or an answer of another form.
FAILURES = (OSError, HTTPException, ValueError, KeyError, IndexError, TypeError)


def in_words(
    ask: Callable[[str], Reply],
    describe: Callable[[Any], str],
    ledger: Ledger,
    *,
    wish: str = "by what the task asks for",
    cache: Path | None = None,
    retries: int = 3,
    pause: float = 1.0,
    prices: tuple[float, float] = (0.0, 0.0),
    budget: float = float("inf"),
    wait: Callable[[float], None] = time.sleep,
) -> HostJudge:
    """The judge that describes both segments of a pair in words and asks a model which is better.

    Args:
      ask: question -> reply, such as `chat`.
      describe: a segment, as numpy arrays [L, ...], -> words.
      ledger: where calls, tokens and money are written down.
      wish: what a segment should be better by.
      cache: a file of answers, one JSON object a line, which is read first and added to.
      retries: how often a call that failed is tried again.
      pause: seconds before the first of these; it doubles each time.
      prices: of a token of the question, and of one of the answer.
      budget: money after which nothing more is asked.
      wait: what waits so many seconds.

    Raises:
      InputError: for a negative number.
    """
    require_non_negative(retries=retries, pause=pause, prices=prices, budget=budget)
    known: dict[str, str] = {}
    if cache is not None and cache.is_file():
        for line in cache.read_text().splitlines():
            known |= remembered(line)

    def called(question: str) -> str | None:
        for attempt in range(retries + 1):
            if attempt:
                wait(pause * 2 ** (attempt - 1))
            ledger.calls += 1
            try:
                reply = ask(question)
            except FAILURES:
                ledger.failures += 1
                continue
            ledger.asked += reply.asked
            ledger.answered += reply.answered
            ledger.spent += prices[0] * reply.asked + prices[1] * reply.answered
            return reply.text
        return None

    def one(first: Any, second: Any) -> float | None:
        question = QUESTION.format(wish=wish, first=describe(first), second=describe(second))
        name = hashlib.sha256(question.encode()).hexdigest()
        ledger.questions += 1
        if name in known:
            ledger.kept += 1
        elif ledger.spent < budget:
            text = called(question)
            if text is not None and read(text) is not None:
                known[name] = text
                if cache is not None:
                    with cache.open("a") as file:
                        file.write(json.dumps({"question": name, "answer": text}) + "\n")
        label = read(known.get(name, ""))
        ledger.unanswered += label is None
        return label

    return lambda first, second: verdict([one(*pair) for pair in pairs(first, second)])


def remembered(line: str) -> dict[str, str]:
    """The answer that a line of a file keeps; none if the line was cut off."""
    try:
        found = json.loads(line)
        return {str(found["question"]): str(found["answer"])}
    except (ValueError, KeyError, TypeError):
        return {}


def read(text: str) -> float | None:
    """The label that an answer says: that of the only word of `LABELS` in it, else none."""
    words = "".join(c if c.isalpha() else " " for c in text.lower()).split()
    found = {word for word in words if word in LABELS}
    return LABELS[found.pop()] if len(found) == 1 else None
