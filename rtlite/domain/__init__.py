"""What the stand-in keeps besides events. A change and its event are committed together.

And what is broken on purpose, which nothing is kept of: faults.py has those that are set; deliveryfaults.py,
connectionfaults.py, requestfaults.py and serverfaults.py strike what each of them is for.
"""
