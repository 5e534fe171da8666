-- Read the unread signals of runs, in order of arrival. Locks: none. Index: continuum_signals_unread.
select run_id, id, name, payload
from continuum_signals
where run_id = any(%(runs)b::uuid[])
  and not consumed
order by run_id, id
