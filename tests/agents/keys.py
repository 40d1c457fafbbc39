"""An interpreter of jaxprs that computes nothing but keys, and counts how often each is used."""

from collections import defaultdict

import jax
import jax.numpy as jnp
import numpy as np
from jax.extend.core import Literal

CONSUMERS = ("random_bits", "random_split", "random_gamma", "random_unwrap")
INNER = ("jaxpr", "call_jaxpr", "fun_jaxpr")  # where primitives keep the function they call
UNKNOWN = object()
SMALL = 64  # integers of this many entries at most are computed too: they may be indices


def is_key(x) -> bool:
    """Whether an array or a variable holds typed keys."""
    return jnp.issubdtype(x.dtype, jax.dtypes.prng_key)


def worth_knowing(x) -> bool:
    """Whether a variable is a key, or small integers that may be an index or folded into one."""
    integer = jnp.issubdtype(x.dtype, jnp.integer) or x.dtype == bool
    return is_key(x) or (integer and x.size <= SMALL)


def uses(function, *args) -> dict[bytes, list[str]]:
    """For each key of a call of `function`, the primitives that consumed it and where.

    Keys are told apart by their values, so that `fold_in(key, 1)` is `split(key)[1]`. Branches
    count as alternatives. What depends on other data than keys and small integers is not known:
    a loop of unknown length is taken once, and keys chosen by such data are passed over.
    """
    seen = defaultdict(list)
    jaxpr = jax.make_jaxpr(function)(*args)
    interpret(jaxpr.jaxpr, jaxpr.consts, jax.tree.leaves(args), seen)
    return seen


def interpret(jaxpr, consts, args, seen) -> list:
    """The outputs of a jaxpr, `UNKNOWN` for most; `seen` collects the uses of keys."""
    known = {}

    def read(atom):
        return atom.val if isinstance(atom, Literal) else known.get(atom, UNKNOWN)

    def write(variables, values):
        for variable, value in zip(variables, values, strict=True):
            if value is not UNKNOWN and worth_knowing(variable.aval):
                known[variable] = value

    write(jaxpr.constvars, consts)
    write(jaxpr.invars, args)
    for eqn in jaxpr.eqns:
        write(eqn.outvars, outputs(eqn, [read(atom) for atom in eqn.invars], seen))
    return [read(atom) for atom in jaxpr.outvars]


def outputs(eqn, values, seen) -> list:
    """The outputs of one equation."""
    name, params = eqn.primitive.name, eqn.params
    if name in CONSUMERS and values[0] is not UNKNOWN:
        frame = eqn.source_info.traceback
        lines = [f for f in frame.frames if "/site-packages/" not in f.file_name] if frame else []
        for row in np.asarray(jax.random.key_data(values[0])).reshape(-1, 2):
            where = f"{lines[0].file_name}:{lines[0].line_num}" if lines else "?"
            seen[row.tobytes()].append(f"{name} {where}")
    if name == "scan":
        return scan(params, values, seen)
    if name == "while":
        return loop(params, values, seen)
    if name == "cond":
        branches = [defaultdict(list) for _ in params["branches"]]
        for branch, own in zip(params["branches"], branches, strict=True):
            interpret(branch.jaxpr, branch.consts, values[1:], own)
        for key in set().union(*branches):
            seen[key] += max((own[key] for own in branches), key=len)
        return [UNKNOWN] * len(eqn.outvars)
    inner = next((params[key] for key in INNER if key in params), None)
    if inner is not None:
        closed = hasattr(inner, "consts")
        consts, body = (inner.consts, inner.jaxpr) if closed else ((), inner)
        return interpret(body, consts, values, seen)
    useful = any(worth_knowing(x.aval) for x in eqn.outvars)
    if not useful or any(value is UNKNOWN for value in values):
        return [UNKNOWN] * len(eqn.outvars)
    out = eqn.primitive.bind(*values, **params)
    return out if eqn.primitive.multiple_results else [out]


def scan(params, values, seen) -> list:
    """The final carries and stacked outputs of a scan, step by step."""
    if "ft_in" in params:  # since jax 0.11
        consts, carries, _ = (len(list(part)) for part in params["ft_in"].unpack())
    else:
        consts, carries = params["num_consts"], params["num_carry"]
    body, steps = params["jaxpr"], range(params["length"])
    fixed, carry, xs = values[:consts], values[consts:][:carries], values[consts + carries :]
    rows = []
    for i in reversed(steps) if params["reverse"] else steps:
        here = [x if x is UNKNOWN else x[i] for x in xs]
        out = interpret(body.jaxpr, body.consts, [*fixed, *carry, *here], seen)
        carry = out[:carries]
        rows.append(out[carries:])
    rows = rows[::-1] if params["reverse"] else rows
    ys = [UNKNOWN if UNKNOWN in column else jnp.stack(column) for column in map(list, zip(*rows))]
    return [*carry, *(ys or [UNKNOWN] * (len(body.jaxpr.outvars) - carries))]


def loop(params, values, seen) -> list:
    """The carries of a while loop, whose body is taken once if the condition is not known."""
    first, second = params["cond_nconsts"], params["cond_nconsts"] + params["body_nconsts"]
    condition, body, carry = params["cond_jaxpr"], params["body_jaxpr"], values[second:]
    while True:
        (more,) = interpret(
            condition.jaxpr, condition.consts, [*values[:first], *carry], defaultdict(list)
        )
        if more is not UNKNOWN and not np.any(more):  # one for each member of a batch
            return carry
        carry = interpret(body.jaxpr, body.consts, [*values[first:second], *carry], seen)
        if more is UNKNOWN:
            return [UNKNOWN] * len(carry)
