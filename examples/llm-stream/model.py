"""A stand-in for a language model: it is offline, and gives the same answer to every question."""

import re
from collections.abc import AsyncIterator

import trio

SECONDS_A_TOKEN = 0.05
ANSWER = """The tide is the rise and fall of the sea. The moon pulls the water that is nearest to it more than the
earth, and the earth more than the water that is farthest away, so that there are two hills of water, one on each side.
The earth turns below them once a day, and every coast passes both. When the sun pulls in the same line, at full and new
moon, the hills are higher: these are the spring tides. When it pulls across, they are lower: these are neap tides."""


async def tokens(question: str) -> AsyncIterator[str]:
    """The answer, a word or so at a time."""
    for token in re.findall(r"\S+\s*", ANSWER.replace("\n", " ")):
        await trio.sleep(SECONDS_A_TOKEN)
        yield token
