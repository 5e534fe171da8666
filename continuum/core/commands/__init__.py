"""One module for each kind of command: how it is issued, what it waits for, how it is withdrawn.

Each has a function that an effect calls, and a class of what is pending. A pending command is given the arrivals
that name it (:meth:`Pending.arrive`), and is told when the code does not wait for it any more
(:meth:`Pending.withdrawn`).
"""
