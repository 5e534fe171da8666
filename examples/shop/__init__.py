"""A small shop, as an example of Continuum: `flows` is what its orders go through, `ledger` is its book of money."""
