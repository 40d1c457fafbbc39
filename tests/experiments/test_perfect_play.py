"""The judge of noughts and crosses, against numbers that are known of the game."""

from experiments.benchmarks import perfect_play as judge


def test_positions_and_their_values():
    everything = judge.positions()
    due = [board for board in everything if judge.value_at_end(board) is None]
    assert (len(everything), len(due)) == (5478, 4520)
    assert judge.minimax(judge.EMPTY) == 0
    # Two in a row to complete: a win for who moves, and a loss where the other has two ways.
    assert judge.minimax((0, 0, -1, 1, 1, -1, -1, -1, -1)) == 1
    assert judge.minimax((0, 1, 0, -1, -1, -1, 0, -1, 1)) == -1


def test_a_policy_by_minimax_is_perfect_and_the_first_free_cell_is_not():
    due = [board for board in judge.positions() if judge.value_at_end(board) is None]
    best = {b: max(judge.moves(b), key=lambda c: -judge.minimax(judge.after(b, c))) for b in due}
    found = judge.judged(best)
    assert found["optimal"] == 1.0
    assert found["worst_first"] == found["worst_second"] == 0
    for player in judge.PLAYERS:
        assert all(found[f"{player}_{seat}"] >= 0 for seat in ("first", "second"))
    assert found["random_first"] > 0.7 and found["tactical_first"] < found["random_first"]
    first = judge.judged({b: judge.moves(b)[0] for b in due})
    assert first["optimal"] < 1 and first["worst_first"] == first["worst_second"] == -1


def test_the_tactical_player_wins_or_blocks():
    assert judge.sensible((0, 0, -1, 1, 1, -1, -1, -1, -1)) == [2]
    assert judge.sensible((0, 0, -1, 1, -1, -1, -1, -1, -1)) == [2]
    assert judge.sensible(judge.EMPTY) == list(range(9))
