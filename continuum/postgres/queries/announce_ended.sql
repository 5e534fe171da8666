-- Tell waiting clients which runs ended, one notification a payload. Locks: none. Index: none.
select pg_notify(current_schema() || '_done', payload), set_config('synchronous_commit', 'off', true)
from unnest(%(payloads)b::text[]) as ended(payload)
