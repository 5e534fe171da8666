-- Tell dispatchers and the routers of owners what came, one notification a payload. Locks: none. Index: none.
select pg_notify(current_schema() || '_wake', payload), set_config('synchronous_commit', 'off', true)
from unnest(%(payloads)b::text[]) as news(payload)
