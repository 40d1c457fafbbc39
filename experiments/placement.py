"""Which devices a run is spread over, as a person asks for them on the command line."""

from jaxrl.errors import require, require_known, require_non_negative

AXES = ("data", "members")


def asked(text: str) -> dict[str, int]:
    """The devices along each axis that words such as `data=4,members=2` ask for.

    Raises an InputError of one sentence for words that are none, or an unknown axis.
    """
    found: dict[str, int] = {}
    for word in filter(None, text.split(",")):
        name, equals, number = (part.strip() for part in word.partition("="))
        require(
            bool(equals) and number.isdecimal() and int(number) > 0,
            f"--devices takes numbers of devices such as data=4,members=2, not {word!r}.",
        )
        require_known("axis of devices", name, AXES)
        require(name not in found, f"--devices gives {name} twice: leave one of them out.")
        found[name] = int(number)
    return found


def shards(devices: str, number: int) -> int:
    """The number of shards of each member: `number`, or one for each device along data if it is 0.

    Raises an InputError if the devices do not divide them.
    """
    require_non_negative(shards=number)
    data = asked(devices).get("data", 1)
    require(
        number % data == 0,
        f"data={data} devices do not divide {number} shards: leave --shards out, or make it a "
        f"multiple of {data}.",
    )
    return number or data
