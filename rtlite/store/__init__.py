"""What survives a restart: one SQLite file, one writer, a few readers.

What the store promises, whatever stands behind it:

* **Atomic.** :meth:`Database.write` runs one function in one transaction. All of it is
  stored, or nothing and it raises.
* **Ordered.** Writes happen one after another. Offsets within a channel are 1, 2, 3, …
  without holes, in the order of the writes; sequences rise over all channels.
* **Durable.** When ``write`` returns, what it stored survives the end of the process, and
  with ``durability = full`` a power cut too.
* **Readers never wait for writers**, and see only what was committed.
"""
