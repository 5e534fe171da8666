-- Tell waiting clients which runs this transaction ends, if it commits. Locks: the notification queue, at commit. Index: none.
select pg_notify(current_schema() || '_done', payload)
from unnest(%(payloads)b::text[]) as ended(payload)
