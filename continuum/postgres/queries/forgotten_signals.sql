-- Say which of these runs have consumed a signal that is not there or was read before. Locks: none. Index: primary key.
-- A crash may forget a signal that was shown early, when an engine has consumed it in memory already.
select read.run_id
from unnest(%(read_runs)b::uuid[], %(read_ids)b::bigint[]) as read(run_id, id)
where not exists (
    select from continuum_signals as mail
    where mail.id = any(array[read.id]) and (mail.run_id = read.run_id and not mail.consumed) is true
)
