"""``rtlite play``: publish what a recording or a scenario says, each event at its time."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Generator, Iterator
from functools import partial
from itertools import islice
from random import Random
from typing import Any, Final

import attrs
import click
import orjson

from rtlite.cli import options, output, recording
from rtlite.cli.client import connected
from rtlite.cli.meaning import channel_of, is_handshake, meaning
from rtlite.cli.options import Server
from rtlite.cli.player import MAX_SPEED, RETRY_SECONDS, Due, Sent, drawn, published
from rtlite.cli.player import play as publish
from rtlite.cli.program import run
from rtlite.client import Receipt
from rtlite.log import escape
from rtlite.model import is_pattern, matches

_MOST_SHOWN: Final = 10_000  # events of a dry run, which may have no end

Round = Callable[[Random], Generator[Due, None, float]]
"""Makes the events of one round; it returns when that is over, in seconds."""


@attrs.frozen
class Names:
    """What to call channels: ``mapped`` from the old names (or whole kinds) to new ones, then with a prefix."""

    prefix: str
    mapped: tuple[tuple[str, str], ...]

    def __call__(self, channel: str) -> str:
        for old, new in self.mapped:
            if matches(old, channel):
                channel = new[:-1] + channel[len(old) - 1 :] if is_pattern(old) else new
                break
        return self.prefix + channel


def _speed(text: str) -> float:
    if text == "max":
        return MAX_SPEED
    try:
        speed = float(text)
    except ValueError:
        speed = 0.0
    if not 0 < speed < MAX_SPEED:
        raise click.BadParameter("a number such as 2 or 0.5, or max, is wanted.")
    return speed


def _mapping(ctx: click.Context, parameter: click.Parameter, texts: tuple[str, ...]) -> tuple[tuple[str, str], ...]:
    mapped = []
    for text in texts:
        old, _equals, new = text.partition("=")
        if not (old and new):
            raise click.BadParameter(f"{text!r} is not OLD=NEW.")
        options.patterns(ctx, parameter, (old, new))
        if is_pattern(old) != is_pattern(new):
            raise click.BadParameter(f"{text!r}: a whole kind such as changes:* becomes a whole kind.")
        mapped.append((old, new))
    return tuple(mapped)


@click.command()
@click.argument("file", type=click.Path(dir_okay=False))
@click.option(
    "--speed",
    metavar="NUMBER|max",
    type=_speed,
    default="1",
    show_default=True,
    help="So many times as fast; max does not wait at all.",
)
@click.option("--loop", is_flag=True, help="Begin again at the end, until Ctrl-C.")
@click.option("--count", metavar="NUMBER", type=click.IntRange(min=1), help="Stop after this many events.")
@click.option("--channel-prefix", metavar="TEXT", default="", help="Put this before the channels' names.")
@click.option(
    "--map",
    "mapped",
    metavar="OLD=NEW",
    multiple=True,
    callback=_mapping,
    help="Publish on NEW what is of channel OLD; changes:*=test:* maps a whole kind. May repeat.",
)
@click.option(
    "--channel", metavar="CHANNEL", help="Of a recording made with --from: where messages go that name no channel."
)
@click.option("--seed", metavar="NUMBER", type=int, help="Of a scenario: the same jitter and ids with the same NUMBER.")
@click.option("--dry-run", is_flag=True, help="Print what would be published, and when; no server is asked.")
@options.json_option
@options.server_options
def play(
    file: str,
    speed: float,
    loop: bool,
    count: int | None,
    channel_prefix: str,
    mapped: tuple[tuple[str, str], ...],
    channel: str | None,
    seed: int | None,
    dry_run: bool,
    as_json: bool,
    url: str | None,
    key: str | None,
    dev: bool,
) -> None:
    """Publish the events of a recording or scenario.

    FILE is a recording of rtlite record, or a scenario in YAML. It is looked through first; if a
    line of it cannot be played, nothing is. Events keep their order and their distances in time, and
    get new ids. Those that are late are sent at once.

    A scenario has steps: publish, trigger (with set), wait, repeat and each (with steps, as, every,
    jitter), and parallel. ${name} is a variable: of vars, of a loop, or now, uuid, random.

    \b
    rtlite play day.jsonl --speed 10
    rtlite play day.jsonl --speed max --map 'article:*=draft:*'
    rtlite play launch.yaml --dry-run
    """
    names = Names(channel_prefix, mapped)
    played = _round(file, names, channel)
    events = islice(_looped(played, drawn(seed)) if loop else played(drawn(seed)), count)
    json = output.wants_json(as_json)
    if dry_run:
        _show(events, speed, json)
        return
    server = options.server_or_dev(url, key, dev)
    with contextlib.suppress(KeyboardInterrupt):
        run(_play, server, events, _printer(json), speed)


def _round(file: str, names: Names, channel: str | None) -> Round:
    """What one round of the file is. :raises WrongFile: it cannot be played."""
    if not _is_scenario(file):
        return _of_recording(file, names, channel)
    from rtlite.cli import scenariofile  # YAML takes longer to load than a recording

    scenario = scenariofile.read(file)

    def round(random: Random) -> Generator[Due, None, float]:
        schedule = scenario.schedule(random)
        while True:
            try:
                due = next(schedule)
            except StopIteration as end:
                return float(end.value)
            yield Due(due.at, partial(_renamed, due.make, names))

    return round


def _of_recording(file: str, names: Names, channel: str | None) -> Round:
    target = channel or channel_of(recording.origin(file))

    left_out = 0

    def convert(line: dict[str, Any]) -> dict[str, Any] | None:
        nonlocal left_out
        if "raw" in line:
            event = meaning(line["raw"], target)
            if event is None and not is_handshake(line["raw"]):
                left_out += 1
        else:
            event = {"channel": line["channel"], "event": line["event"], "data": line.get("data")}
        return None if event is None else {**event, "channel": names(event["channel"])}

    recorded = recording.opened(file, convert)
    if left_out:
        which = "1 message is no event, or names" if left_out == 1 else f"{left_out:,} messages are no events, or name"
        output.note(f"{file}: {which} no channel (--channel): left out")

    def round(_: Random) -> Generator[Due, None, float]:
        at = 0.0
        for at, event in recorded:
            yield Due(at, partial(dict, event))
        return at

    return round


def _is_scenario(file: str) -> bool:
    try:
        with open(file, "rb") as opened:
            start = opened.read(4096)
    except OSError as error:
        raise recording.WrongFile(file, 0, "", str(error.strerror)) from error
    if recording.is_recording(start):
        return False
    return not file.lower().endswith((".jsonl", ".ndjson", ".json"))


def _renamed(make: Callable[[], dict[str, Any]], names: Names) -> dict[str, Any]:
    event = make()
    return {**event, "channel": names(event["channel"])}


def _looped(played: Round, random: Random) -> Iterator[Due]:
    """Round after round; none, if there is nothing in one."""
    begins, number = 0.0, -1
    while number:
        number, schedule = 0, played(random)
        while True:
            try:
                due = next(schedule)
            except StopIteration as end:
                begins += float(end.value)
                break
            number += 1
            yield attrs.evolve(due, at=begins + due.at)


async def _play(server: Server, events: Iterator[Due], sent: Sent, speed: float) -> None:
    async with connected(server) as client:
        await client.call("GET", "/healthz")  # says at once if nobody is there, and the first event has a connection
        await publish(client, events, sent, speed=speed, retry_for=RETRY_SECONDS)


def _printer(as_json: bool) -> Sent:
    def sent(event: dict[str, Any], receipt: Receipt) -> None:
        if as_json:
            output.json_line(published(event, receipt))
        else:
            _print(f"offset {receipt['offset']}", event)

    return sent


def _show(events: Iterator[Due], speed: float, as_json: bool) -> None:
    for due in islice(events, _MOST_SHOWN):
        at = round(due.at / speed, 3)
        if as_json:
            output.json_line({"at": at, **due.make()})
        else:
            _print(f"{at:10.3f} s", due.make())
    if next(events, None) is not None:
        output.note(f"and so on: {_MOST_SHOWN:,} are shown")


def _print(place: str, event: dict[str, Any]) -> None:
    data = escape(orjson.dumps(event["data"]).decode())
    name = click.style(escape(event["event"]), bold=True)
    click.echo(f"{click.style(place, dim=True)}  {click.style(event['channel'], fg='cyan')}  {name}  {data}")
