"""What keeps workflow code replayable: a scan when it is defined, and a guard while it runs (SEMANTICS X).

::

    sources ──► scopes ──► evaluation ──► checker ──► scan      which objects a function's names can be, and which
                               │             │                  of them a replay cannot repeat
                             values       objects ──► table     what is denied, and what to write instead

The scan resolves names to objects (module globals, closures, aliases, imports, attributes of classes) and never looks
at spelling. It sees what the function and its helpers *mention*; what a library does inside is the guard's to stop.
"""
