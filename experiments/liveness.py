"""The memory that a program needs while it runs, estimated from its jaxpr, before it is compiled.

A compiler keeps an array from the operation that makes it to the last one that reads it. Operations
that work element by element are fused into those that read them, unless these read an array many
times, as products, gathers and loops do. Both are followed here for a traced program, so that the
peak of what lives at once is known in the time of a trace.
"""

import itertools
from collections.abc import Collection, Iterator
from typing import Any, NamedTuple

from jax.extend import core

from jaxrl.types import is_key

_FUSED = """
    abs add add_any and atan2 bitcast_convert_type broadcast_in_dim cbrt ceil clamp
    concatenate convert_element_type copy cos div dynamic_slice eq erf erf_inv exp exp2 expand_dims
    expm1 floor ge gt integer_pow iota is_finite le lgamma log log1p logistic lt max min mul ne neg
    nextafter not or pad pow random_bits random_fold_in random_seed random_split random_unwrap
    random_wrap rem reshape rev round rsqrt select_n shift_left shift_right_arithmetic
    shift_right_logical sign sin slice split sqrt square squeeze stop_gradient sub tan tanh
    threefry2x32 transpose xor
"""
FUSED = frozenset(_FUSED.split())
"""Operations that are fused with what reads them."""
_CALLS = """
    checkpoint closed_call core_call custom_jvp_call custom_vjp_call custom_vjp_call_jaxpr
    custom_vmap_call jit pjit remat remat2 shard_map
"""
CALLS = frozenset(_CALLS.split())
"""Operations that are replaced by the program that they call."""
_IN_PLACE = """
    cond dynamic_update_slice optimization_barrier scan scatter scatter-add scatter-max scatter-min
    scatter-mul while
"""
IN_PLACE = frozenset(_IN_PLACE.split())
"""Operations whose results, as those of fused ones, take the place of what is read no more."""
SAME = frozenset({"expand_dims", "reshape", "squeeze", "stop_gradient"})
"""Operations that copy nothing."""
KEY = 8  # bytes


class Step(NamedTuple):
    """An operation: what it reads, what it makes, and what it needs besides while it runs."""

    name: str
    reads: list[int]
    writes: list[int]
    within: int  # bytes


def peak_bytes(jaxpr: Any, owned: Collection[int] = ()) -> int:
    """The most bytes that a jaxpr holds at once beside its arguments, its results included.

    A result takes the place of an argument that nothing else reads any more, if that is one of
    those `owned`, by their numbers, such as the arguments that a program is given for good.
    """
    number, steps, sizes = itertools.count(), [], {}
    scope = {v: next(number) for v in (*jaxpr.invars, *jaxpr.constvars)}
    sizes.update({scope[v]: bytes_of(v.aval) for v in scope})
    results = _walk(jaxpr, scope, number, steps, sizes)
    kept = _materialised(steps, results)
    spare = {scope[v] for i, v in enumerate(jaxpr.invars) if i in owned}
    return _swept(steps, sizes, kept, _last_uses(steps, results, kept), spare)


def _swept(
    steps: list[Step], sizes: dict[int, int], kept: set[int], last: dict[int, int], spare: set[int]
) -> int:
    """The peak while the steps run in their order; `spare` are arguments that may be replaced."""
    ends: dict[int, list[int]] = {}
    for var, i in last.items():
        ends.setdefault(i, []).append(var)
    live: dict[int, bool] = dict.fromkeys(spare, False)  # whether its place counts
    now = most = 0
    for i, step in enumerate(steps):
        dying = [v for v in ends.get(i, []) if v in live]
        for var in step.writes:
            if var not in kept:
                continue
            fits = dying if step.name in FUSED or step.name in IN_PLACE else []
            place = next((v for v in fits if sizes[v] == sizes[var]), None)
            if place is None:
                live[var] = True
                now += sizes[var]
            else:
                dying.remove(place)
                live[var] = live.pop(place)
        most = max(most, now + step.within)
        for var in (*dying, *(v for v in step.writes if v not in last)):  # those nobody reads too
            now -= sizes[var] if live.pop(var, False) else 0
    return most


def _materialised(steps: list[Step], results: list[int]) -> set[int]:
    """The arrays that are kept in memory, and not fused with what reads them."""
    kept = set(results)
    for step in steps:
        if step.name not in FUSED:
            kept.update(step.reads)
            kept.update(step.writes)
    return kept


def _last_uses(steps: list[Step], results: list[int], kept: set[int]) -> dict[int, int]:
    """The operation that reads each array last; what is fused reads when it is read itself."""
    last: dict[int, int] = dict.fromkeys(results, len(steps))
    for i in reversed(range(len(steps))):
        when = i
        if not kept.intersection(steps[i].writes):
            when = max((last.get(v, i) for v in steps[i].writes), default=i)
        for var in steps[i].reads:
            last[var] = max(last.get(var, -1), when)
    return last


def _walk(
    jaxpr: Any, scope: dict, number: Iterator[int], steps: list[Step], sizes: dict[int, int]
) -> list[int]:
    """Append the operations of a jaxpr to `steps`; the numbers of its results."""

    def read(var: Any) -> list[int]:
        return [] if isinstance(var, core.Literal) else [scope[var]]

    for eqn in jaxpr.eqns:
        inner, name = _inner(eqn), eqn.primitive.name
        if name in CALLS and inner and len(inner[0].invars) == len(eqn.invars):
            there = {v: next(number) for v in inner[0].constvars}
            for mine, given in zip(inner[0].invars, eqn.invars):
                there[mine] = read(given)[0] if read(given) else next(number)
                sizes.setdefault(there[mine], bytes_of(mine.aval))
            for out, found in zip(eqn.outvars, _walk(inner[0], there, number, steps, sizes)):
                scope[out] = found
            continue
        reads = [v for var in eqn.invars for v in read(var)]
        if name in SAME and reads:  # the same bytes under another shape
            scope[eqn.outvars[0]] = reads[0]
            continue
        for out in eqn.outvars:
            scope[out] = next(number)
            sizes[scope[out]] = bytes_of(out.aval)
        within = max((peak_bytes(one, _carried(eqn)) for one in inner), default=0)
        steps.append(Step(name, reads, [scope[out] for out in eqn.outvars], within))
    results = []
    for var in jaxpr.outvars:
        if isinstance(var, core.Literal):
            results.append(next(number))
            sizes[results[-1]] = 0
        else:
            results.append(scope[var])
    return results


def _carried(eqn: Any) -> range:
    """Which arguments of the body of a loop are what it carries, whose places it may reuse."""
    params = eqn.params
    if eqn.primitive.name == "scan":
        if "ft_in" in params:  # since jax 0.11
            consts, carries, _ = (len(list(part)) for part in params["ft_in"].unpack())
        else:
            consts, carries = params["num_consts"], params["num_carry"]
        return range(consts, consts + carries)
    if eqn.primitive.name == "while":
        return range(params["body_nconsts"], len(params["body_jaxpr"].jaxpr.invars))
    return range(0)


def _inner(eqn: Any) -> list[Any]:
    """The programs within an operation."""
    values = [x for v in eqn.params.values() for x in (v if isinstance(v, tuple | list) else (v,))]
    found = [getattr(x, "jaxpr", x) for x in values]
    return [x for x in found if hasattr(x, "eqns")]


def bytes_of(aval: Any) -> int:
    """Bytes of an array of a shape and type, 0 for what is none."""
    shape, dtype = getattr(aval, "shape", None), getattr(aval, "dtype", None)
    if shape is None or dtype is None:
        return 0
    size = KEY if is_key(aval) else dtype.itemsize
    for n in shape:
        size *= n
    return size
