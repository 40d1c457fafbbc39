"""Command lines as instances of dataclasses, with help texts and with one sentence per error.

A dataclass declares the options: the name, type and default of a field are those of an option, and
the string below the field is its help text. Fields with `positional` in their metadata take the
words that belong to no option; `group` in it is the heading of an option in the help text.
"""

import ast
import dataclasses
import inspect
import itertools
import shutil
import sys
import textwrap
import types
import typing
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from jaxrl.errors import InputError, require, unknown


class Option(NamedTuple):
    """One option of a command."""

    name: str  # of the attribute
    flag: str  # as it is typed
    kind: type  # of one value: bool, int, float, str or Path
    several: bool  # whether it takes more than one value
    positional: bool
    default: Any
    help: str
    group: str
    swept: bool | None  # whether jaxrl sweep takes several values; None if not a hyperparameter
    path: str  # another spelling, of the whole path of a field within records


def documentation(cls: type) -> dict[str, str]:
    """The docstring of each field of a dataclass and its ancestors."""
    found: dict[str, str] = {}
    for ancestor in reversed(cls.__mro__[:-1]):
        body = ast.parse(inspect.cleandoc(inspect.getsource(ancestor))).body[0].body  # type: ignore
        for field, text in itertools.pairwise(body):
            if isinstance(field, ast.AnnAssign) and isinstance(text, ast.Expr):
                text = " ".join(ast.literal_eval(text.value).split())  # type: ignore
                found[field.target.id] = text  # type: ignore
    return found


def options_of(cls: type) -> list[Option]:
    """The options that a dataclass declares, in its order."""
    hints, found = typing.get_type_hints(cls), []
    fields = dataclasses.fields(cls)
    texts = {} if all("help" in f.metadata for f in fields) else documentation(cls)
    for field in fields:
        kind = hints[field.name]
        if isinstance(kind, types.UnionType):  # such as Path | None
            kind = next(k for k in typing.get_args(kind) if k is not types.NoneType)
        several = typing.get_origin(kind) is tuple
        kind = typing.get_args(kind)[0] if several else kind
        flag = field.metadata.get("flag", field.name.replace("_", "-"))
        found.append(
            Option(
                field.name,
                f"--{flag}",
                kind,
                several,
                field.metadata.get("positional", False),
                field.default,
                field.metadata.get("help") or texts.get(field.name, ""),
                field.metadata.get("group", "options"),
                field.metadata.get("swept"),
                f"--{field.metadata.get('path', flag)}",
            )
        )
    return found


def parse(command: str, cls: type, arguments: list[str]) -> Any:
    """The instance of `cls` that the words of a command line mean.

    With `-h` or `--help` among them the help text is printed, and the program ends. Raises an
    InputError of one sentence for an option that does not exist, is given twice, or has too few,
    too many or the wrong values.
    """
    options = options_of(cls)
    if {"-h", "--help"} & set(arguments):
        print(help_text(command, cls))
        sys.exit(0)
    flags = {option.flag: option for option in options if not option.positional}
    negations = {f"--no-{f[2:]}": o for f, o in flags.items() if o.kind is bool}
    given: dict[str, Any] = {}
    free: list[str] = []
    hint = f": see jaxrl {command} --help."
    words = list(arguments)
    while words:
        word = words.pop(0)
        if not is_flag(word):
            free.append(word)
            continue
        flag, equals, value = word.partition("=")
        flag = flag.replace("_", "-")
        option = flags.get(flag) or negations.get(flag) or shortened(flag, flags)
        if option is None:
            raise unknown("option", flag, [*flags, *negations])
        require(option.name not in given, f"{option.flag} is given twice: leave one of them out.")
        if option.kind is bool:
            ways = f"write {option.flag} or --no-{option.flag[2:]}"
            require(not equals, f"{flag} takes no value: {ways}.")
            if words and words[0].lower() in ("true", "false", "yes", "no", "on", "off", "0", "1"):
                raise InputError(f"{flag} takes no value, but {words[0]!r} follows it: {ways}.")
            given[option.name] = flag not in negations
            continue
        # The values of an option are all words up to the next option; it takes one or several.
        length = next((i for i, w in enumerate(words) if is_flag(w)), len(words))
        if not option.several:
            length = min(length, 1)
        values = [value] if equals else words[:length]
        words = words if equals else words[length:]
        least = "at least one value" if option.several else "a value"
        require(bool(values), f"{option.flag} needs {least}{hint}")
        texts = values
        values = tuple(converted(option, text) for text in texts)
        given[option.name] = values if option.several else values[0]
        if words and not is_flag(words[0]) and not any(o.positional for o in options):
            raise too_many(command, option, [*texts, words[0]])
    return cls(**given | positionals(command, options, free, hint))


def shortened(flag: str, flags: dict[str, Option]) -> Option | None:
    """The option that a flag means by its whole path, or by the last part of it; None if none.

    Raises an InputError that names the choices if several options end with it.
    """
    paths = {key[2:]: option.path[2:] for key, option in flags.items()}
    found = meant(flag[2:], paths, lambda name: f"--{name}")
    return None if found is None else flags[f"--{found}"]


def meant(
    word: str, paths: Mapping[str, str], shown: Callable[[str], str] = lambda name: name
) -> str | None:
    """The name that a word means by itself, by its whole path, or by its last part; None if none.

    `paths` are the whole paths by the names; hyphens and underscores are alike. Raises an
    InputError that names the choices, as they are `shown`, if several names end with the word.
    """
    plain = lambda text: text.replace("_", "-")
    exact = [n for n, path in paths.items() if plain(word) in (plain(n), plain(path))]
    ends = exact or [n for n in paths if plain(n).rpartition(".")[2] == plain(word)]
    if len(ends) > 1:
        raise InputError(f"{shown(word)} could be {' or '.join(map(shown, ends))}: write which.")
    return ends[0] if ends else None


def positionals(
    command: str, options: list[Option], free: list[str], hint: str
) -> dict[str, Any]:  # fmt: skip
    """The values of the words that belong to no option."""
    places = [option for option in options if option.positional]
    if not places:
        flag = next((o.flag for o in options if o.flag == "--env"), options[0].flag)
        if free:
            text = f"{free[0]!r} needs the name of an option before it, such as {flag}"
            raise InputError(text + hint)
        return {}
    (place,) = places
    what = place.name.rstrip("s")
    if place.several:
        return {place.name: tuple(converted(place, text) for text in free)} if free else {}
    if not free and place.default is not dataclasses.MISSING:
        return {}
    article = "an" if what[0] in "aeiou" else "a"
    require(bool(free), f"jaxrl {command} needs {article} {what}{hint}")
    require(
        len(free) == 1,
        f"{' '.join(free[1:])!r} is one value too many: jaxrl {command} takes one {what}.",
    )
    return {place.name: converted(place, free[0])}


def is_flag(word: str) -> bool:
    """Whether a word names an option; numbers such as -1e-3 and -inf are values."""
    if not word.startswith("-") or word == "-":
        return False
    try:
        float(word)
    except ValueError:
        return True
    return False


def converted(option: Option, text: str) -> Any:
    """The value of an option that a word means; an InputError if it means none."""
    label = option.flag if not option.positional else f"The {option.name.rstrip('s')}"
    kinds: dict[type, tuple[Callable[[str], Any], str]] = {
        int: (whole, "a whole number such as 8 or 2e6"),
        float: (float, "a number such as 0.01 or 1e-3"),
        Path: (path, "the name of a file or folder"),
    }
    convert, takes = kinds.get(option.kind, (word_of, "a word"))
    try:
        return convert(text)
    except ValueError:
        raise InputError(f"{label} takes {takes}, but it was given {text!r}.") from None


def whole(text: str) -> int:
    """The integer that a word such as `64` or `2e6` means; a ValueError if it means none."""
    try:
        return int(text)
    except ValueError:
        value = float(text)
        if not value.is_integer():  # also true of infinity and NaN
            raise ValueError(text) from None
        return int(value)


def word_of(text: str) -> str:
    """A word itself; a ValueError for an empty one."""
    if not text.strip():
        raise ValueError(text)
    return text


def path(text: str) -> Path:
    """The path that a word means; a ValueError for the empty word."""
    if not text.strip() or "\0" in text:
        raise ValueError(text)
    return Path(text)


def too_many(command: str, option: Option, values: list[str]) -> InputError:
    """The error for several values of an option that takes one."""
    given = " and ".join(map(repr, values))
    start = f"{option.flag} takes one value, but it was given {given}"
    if command.startswith("train") and option.swept:
        return InputError(f"{start}: use jaxrl sweep to train with several values.")
    if option.swept is False:
        return InputError(
            f"{start}: it is static, which means that the compiled program depends on it, so it "
            "cannot be swept; train once for each value."
        )
    return InputError(f"{start}: leave one of them out.")


def help_text(command: str, cls: type) -> str:
    """The help text of a command: usage, description, and the options by their groups."""
    options = options_of(cls)
    width = max(60, min(100, shutil.get_terminal_size((100, 24)).columns))
    places = [o.name.rstrip("s").upper() + (" ..." if o.several else "")
              for o in options if o.positional]  # fmt: skip
    needed = [f"{o.flag} {kind_name(o)}" for o in options if o.flag == "--env" and not places]
    usage = " ".join([f"usage: jaxrl {command}", *places, *needed, "[OPTIONS]"])
    about = textwrap.wrap(" ".join((inspect.getdoc(cls) or "").split()), width)
    lines = [usage, "", *about]
    groups = dict.fromkeys(o.group for o in options if not o.positional)
    rows = {"arguments": [o for o in options if o.positional]} if places else {}
    rows |= {group: [o for o in options if o.group == group and not o.positional]
             for group in groups}  # fmt: skip
    for group, members in rows.items():
        lines += ["", f"{group}:"]
        for option in members:
            lines += described(option, width)
    lines += ["", f"  {'-h, --help':24}Print this text."]
    return "\n".join(lines)


def described(option: Option, width: int) -> list[str]:
    """The lines of one option in a help text."""
    if option.positional:
        head = option.name.rstrip("s").upper()
    elif option.kind is bool:
        head = f"{option.flag}, --no-{option.flag[2:]}"
    else:
        head = f"{option.flag} {kind_name(option)}" + (" ..." if option.several else "")
    value = option.default
    if option.kind is bool:
        shown = "yes" if value else "no"
    elif value is None or value is dataclasses.MISSING or value in ("", ()):
        shown = ""
    else:
        values = value if isinstance(value, tuple) else (value,)
        shown = " ".join(f"{v:g}" if isinstance(v, float) else str(v) for v in values)
    text = option.help + (f" (default: {shown})" if shown else "")
    lines = textwrap.wrap(text, width - 26)
    if len(head) > 22:
        return [f"  {head}", *(f"{'':26}{line}" for line in lines)]
    first, *rest = lines or [""]
    return [f"  {head:24}{first}", *(f"{'':26}{line}" for line in rest)]


def kind_name(option: Option) -> str:
    """The placeholder of an option's value in help texts."""
    names = {int: "INT", float: "NUMBER", Path: "PATH"}
    return "NAME=VALUE" if option.name == "env_params" else names.get(option.kind, "NAME")
