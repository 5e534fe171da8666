"""``continuum demo``: a node, a small shop, and a kill -9 in the middle of it.

place    a database, a ledger and a node of its own, in a folder that is removed afterwards
orders   what is known of each order, read from its run's journal
story    starts orders, approves them, kills processes, until every order is finished
screen   shows it: a live table in a terminal, plain lines elsewhere
proof    what must be true at the end
"""
