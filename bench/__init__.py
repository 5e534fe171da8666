"""How fast the product is: real processes, a real PostgreSQL that syncs, and the limit of the design beside it.

    __main__   options, order, exit code          flows     the application of the node that is measured
    bed        server, node and client, for as long as the bench runs
    crowd      many runs in flight, and whether each did what it should
    fill       tables full of copies of a real run          cpu       processor time and memory of processes
    chain, noop, latency, signals, ...             one measurement each, which returns a `figures.Section`
    limit      runs the measuring stick: the program beside the checkout, or our own `stick`
    plan       how much of everything, and the bars
    figures, report, plots, publish                pure: numbers, table, JSON, SVG, README

A measurement is added with a module that returns a section and a line in ``__main__.MEASUREMENTS``; a bar of its own
stands in ``plan.BARS``, and what the README calls its figures in ``publish.LABELS``. Nothing is asserted about time:
bars are shown, and only ``--strict`` makes them an exit code. ``--smoke`` looks at ratios alone, with a wide margin.
"""
