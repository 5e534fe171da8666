-- Wait until all that was committed before is on disk, by whomever, and whether it was waited for or not. Locks: none. Index: none.
-- A commit waits for the disk only if its transaction has written something: an empty message, which nobody reads.
select pg_logical_emit_message(true, 'continuum', '')
