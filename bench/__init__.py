"""How fast the product is: real processes, a real PostgreSQL that syncs, and the limit of the design beside it.

    __main__   options, order, exit code          flows     the application of the node that is measured
    bed        server, node and client, for as long as the bench runs
    crowd      many runs in flight, and whether each did what it should
    chain, noop, latency, signals, replay          one measurement each, which returns a `figures.Section`
    limit      the measuring stick                 figures, report   pure: numbers, table, JSON

A measurement is added with a module that returns a section and a line in ``__main__.MEASUREMENTS``.
Nothing is asserted about time: bars are shown, and only ``--strict`` makes them an exit code.
"""
