"""rtlite inside another program: :func:`open` for Trio, :func:`start` for everything else."""

from rtlite.embed.embedded import Embedded, open
from rtlite.embed.started import Started, start

__all__ = ["Embedded", "Started", "open", "start"]
