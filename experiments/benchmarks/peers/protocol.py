"""The protocol between the speed benchmark and its workers; standard library only.

A worker is started with its setting as one JSON argument. It answers every line it reads with one
JSON line, and the first one unasked: `{"compile_s": ...}` when it is ready. A line "run" lets it
train for one chunk of steps, `{"run_s": ..., "steps": ...}`. At the end of its input it reports
`{"peak_rss_mb": ...}` and ends. Between its answers it is idle, so workers can take turns.
"""

import gc
import json
import os
import resource
import sys
import time

# What libraries print must not mix with the answers.
answers = os.fdopen(os.dup(sys.stdout.fileno()), "w")
os.dup2(sys.stderr.fileno(), sys.stdout.fileno())


collecting = [0.0, 0.0]  # when the collector of garbage last began, and all its seconds


def collected(phase, info):
    """Add up the seconds of the collector of garbage."""
    now = time.perf_counter()
    if phase == "start":
        collecting[0] = now
    else:
        collecting[1] += now - collecting[0]


gc.callbacks.append(collected)


def age():
    """The seconds since this process was started, 0 where the system does not tell."""
    try:
        with open("/proc/self/stat") as file:
            ticks = int(file.read().rpartition(")")[2].split()[19])
        now = time.clock_gettime(time.CLOCK_BOOTTIME)
    except (OSError, AttributeError):
        return 0.0
    return now - ticks / os.sysconf("SC_CLK_TCK")


def setting():
    """The setting that this worker was started with, a dict."""
    return json.loads(sys.argv[1])


def answer(**values):
    """Send one answer."""
    print(json.dumps(values), file=answers, flush=True)


def asked():
    """Wait for a line; return whether it requests another chunk."""
    return sys.stdin.readline().strip() == "run"


def hand_over(**values):
    """Send one answer and wait for a request; end the process if there is none."""
    answer(**values)
    if not asked():
        farewell()
        sys.exit()


def farewell():
    """Report the largest memory that this process has had, in MB."""
    answer(peak_rss_mb=round(peak_memory() / 1e6, 1))


def peak_memory():
    """The largest memory that this process has had, in bytes."""
    try:
        # Not getrusage: on Linux it begins at the size of the process that started this one.
        with open("/proc/self/status") as status:
            return next(1024 * int(line.split()[1]) for line in status if line.startswith("VmHWM"))
    except FileNotFoundError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def serve(chunk, steps, **ready):
    """Announce readiness; on request, time `chunk()`, which takes `steps` environment steps."""
    answer(**ready)
    while asked():
        start = time.perf_counter()
        chunk()
        answer(run_s=time.perf_counter() - start, steps=steps)
    farewell()


def serve_compiled(init, advance, keys, steps, settle=1):
    """Serve JAX functions `init(keys) -> state` and `advance(state) -> state`, both jitted.

    `advance` may donate its argument. Compile time is that of both, traced and compiled ahead;
    then `settle` chunks run untimed, which also pass through any warm-up. The stages of it are
    told too: the seconds before it, of tracing, of lowering and of XLA, and those of the collector
    of garbage, which are among the others.
    """
    import jax

    stages = {"before_s": age(), "trace_s": 0.0, "lower_s": 0.0, "xla_s": 0.0}
    garbage, start = collecting[1], time.perf_counter()

    def staged(name, make):
        begin = time.perf_counter()
        made = make()
        stages[name] += time.perf_counter() - begin
        return made

    def compiled(fn, *args):
        traced = staged("trace_s", lambda: fn.trace(*args))
        lowered = staged("lower_s", traced.lower)
        return staged("xla_s", lowered.compile)

    shapes = staged("trace_s", lambda: jax.eval_shape(init, keys))
    init, advance = compiled(init, keys), compiled(advance, shapes)
    compile_s = time.perf_counter() - start
    stages["garbage_s"] = collecting[1] - garbage
    state = jax.block_until_ready(init(keys))
    for _ in range(settle):
        state = jax.block_until_ready(advance(state))

    def chunk():
        nonlocal state
        state = jax.block_until_ready(advance(state))

    memory = advance.memory_analysis()
    serve(
        chunk,
        steps,
        compile_s=compile_s,
        device=jax.devices()[0].device_kind,
        **{name: round(seconds, 3) for name, seconds in stages.items()},
        state_mb=round(memory.argument_size_in_bytes / 1e6, 2),
        temporary_mb=round(memory.temp_size_in_bytes / 1e6, 2),
    )
