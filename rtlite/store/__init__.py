"""What survives a restart: one SQLite file, one writer, a few readers.

    database.py     the open file: a transaction at a time, reads beside it, what follows an error
    connection.py   one connection, its thread and how Trio waits for it
    whose.py        a stranger's file is left as it was
    lock.py         the file is one server's alone
    opening.py      a file is looked over, migrated and made safe before anyone relies on it
    wal.py          the write-ahead log: cutting it, and what a damaged one may have lost
    reserve.py      room that is held for when the disk is full
    failures.py     what SQLite's errors mean
    backup.py       a copy while the server goes on
    check.py        rtlite check
    schema.py       the tables, and how older files become this version's

Then a module for each family of tables: events.py (with retention.py, selections.py and policies.py, what
of them is kept and read), records.py (with models.py, filters.py, recordplans.py and recordpages.py),
blog.py, conversations.py, documents.py, inbox.py, jobs.py, keys.py, presence.py, snapshots.py, streams.py,
webhooks.py. Their functions run on a database thread, in the caller's transaction.

What the store promises, whatever stands behind it:

* **Atomic.** :meth:`Database.write` runs one function in one transaction. All of it is
  stored, or nothing and it raises.
* **Ordered.** Writes happen one after another. Offsets within a channel are 1, 2, 3, …
  without holes, in the order of the writes; sequences rise over all channels.
* **Durable.** When ``write`` returns, what it stored survives the end of the process, and
  with ``durability = full`` a power cut too.
* **Readers never wait for writers**, and see only what was committed.
"""
