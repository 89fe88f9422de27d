"""Who listens, in what order, and what they missed.

    hub.py           the face: publish, transact, subscribe
    committer.py     one task: queue → one transaction → fan-out in order → wake the publishers
    queues.py        what waits for it, and what it takes at a time
    batches.py       a batch in one transaction: what fails in it fails alone
    transactions.py  what a domain function sees of it
    passing.py       the order of what no channel keeps
    topics.py        who listens to what: topics and their subscriptions
    fanout.py        delivering a batch to them; encode once, write once per connection
    parcels.py       events that are handed over one by one
    impaired.py      what faults do to them on their way
    replay.py        from a place in history to live, without gap or repeat
    since.py         the places a reader can name: a position, an id, an age, a time
    sweeper.py       retention in the background
    presence.py      who is on a channel, and when others were last seen
    members.py       the members of every channel, and when each joins and leaves
    watchers.py      who watches the members; telling them

What the hub promises: within a channel every reader sees the same order, that of the
offsets. A publish that returned is committed. A reader that resumes gets each event it
missed once, or is told ``recovered = False``. Not promised: order across channels for
readers of several, and exactly-once processing in the reader's own code.
"""
