-- Tell dispatchers and the routers of owners what came, one notification a payload. Locks: none. Index: none.
select
    pg_notify(current_schema() || case when payload in ('due', 'task') then '_due' else '_wake' end, payload),
    set_config('synchronous_commit', 'off', true)
from unnest(%(payloads)b::text[]) as news(payload)
