"""Judges on the host: a function, and a server on this machine that fails now and then."""

import json
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import jax.numpy as jnp
import numpy as np
import pytest

from experiments import judging
from jaxrl.errors import InputError
from jaxrl.types import Transition


def segments(rewards):
    """Segments [2, N] with these rewards."""
    reward = jnp.asarray(rewards, jnp.float32)
    ones = jnp.ones(reward.shape)
    return Transition(reward[..., None], ones, reward, ones, ones < 0, ones, (), ones)


FIRST, SECOND = segments([[1, 0, 2, 5], [1, 0, 2, 5]]), segments([[0, 1, 2, 4], [0, 1, 2, 4]])


def test_a_function_judges_or_does_not_answer():
    def prefer(first, second):
        assert first.obs.shape == (2, 1)
        gap = float(first.reward.sum() - second.reward.sum())
        return None if gap == 0 else float(gap > 0)

    found = judging.by_function(prefer)(FIRST, SECOND)
    np.testing.assert_array_equal(found.label, [1, 0, 0.5, 1])
    np.testing.assert_array_equal(found.weight, [1, 1, 0, 1])
    with pytest.raises(InputError, match="a chance between 0 and 1, or None, but it returned 2"):
        judging.by_function(lambda first, second: 2.0)(FIRST, SECOND)


@pytest.fixture
def served():
    """A server that says which sum is larger; each first call for a question fails in some way."""
    seen, asked = {}, []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            told = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            asked.append((self.path, told["model"], self.headers["Authorization"]))
            question = told["messages"][0]["content"]
            sums = [float(x.split()[0]) for x in question.split("sum ")[1:]]
            seen[question] = seen.get(question, 0) + 1
            if seen[question] == 1 and sums[0] != 10.0:
                broken = sums[0] == 2.0
                self.send_response(500 if broken else 200)
                self.end_headers()
                self.wfile.write(b"" if broken else b'{"choices": []}')
                return
            word = "first" if sums[0] > sums[1] else "second" if sums[0] < sums[1] else "Equal."
            word = "The first, or the second" if sums[0] == 10.0 else word
            usage = {"prompt_tokens": 10, "completion_tokens": 2}
            body = {"choices": [{"message": {"content": word}}], "usage": usage}
            self.send_response(200)
            self.end_headers()
            self.wfile.write(json.dumps(body).encode())

        def log_message(self, *args):
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/v1", asked
    server.shutdown()
    server.server_close()
    thread.join()


def test_a_served_model_is_asked_again_when_it_fails_and_never_twice_for_the_same(served, tmp_path):
    address, asked = served
    describe = lambda segment: f"sum {segment.reward.sum()}"
    ledger, waits = judging.Ledger(), []
    options = dict(cache=tmp_path / "answers", retries=2, pause=0.5, prices=(0.1, 1.0))
    ask = judging.chat(address, "judge", "secret")
    judge = judging.in_words(ask, describe, ledger, wait=waits.append, **options)
    found = judge(FIRST, SECOND)
    np.testing.assert_array_equal(found.label[:3], [1, 0, 0.5])
    np.testing.assert_array_equal(found.weight, [1, 1, 1, 0])  # the last answer names both
    assert set(asked) == {("/v1/chat/completions", "judge", "Bearer secret")}
    assert (ledger.questions, ledger.calls, ledger.failures, ledger.unanswered) == (4, 7, 3, 1)
    assert ledger.spent == pytest.approx(4 * (0.1 * 10 + 2)) and waits == [0.5] * 3
    assert (ledger.asked, ledger.answered) == (40, 8)
    # Another process knows the answers; a line that was cut off is passed over.
    with (tmp_path / "answers").open("a") as file:
        file.write('{"question": "ab')
    again = judging.Ledger()
    judge = judging.in_words(ask, describe, again, **options, budget=0.0)
    found = judge(FIRST, SECOND)
    np.testing.assert_array_equal(found.weight, [1, 1, 1, 0])
    assert (again.kept, again.calls, again.unanswered, again.spent) == (3, 0, 1, 0.0)


def test_a_server_that_is_not_there_leaves_pairs_unanswered():
    ledger, waits = judging.Ledger(), []
    ask = judging.chat("http://127.0.0.1:9", "judge", seconds=0.5)
    judge = judging.in_words(ask, str, ledger, retries=2, pause=1.0, wait=waits.append)
    found = judge(*(segments(x) for x in ([[1], [1]], [[0], [0]])))
    assert found.weight.tolist() == [0] and waits == [1.0, 2.0] and ledger.failures == 3
    with pytest.raises(InputError, match="retries must not be negative"):
        judging.in_words(ask, str, ledger, retries=-1)
