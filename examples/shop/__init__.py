"""A small shop, as an example of Continuum.

`flows` is what its orders go through, alone or in a batch; `subscriptions` is what is paid for month by month; `ledger`
is the book of money of both.
"""
