-- Tell clients, dispatchers and routers what this transaction does, if it commits. Locks: the notification queue, at commit. Index: none.
select pg_notify(current_schema() || '_' || news.channel, news.payload)
from unnest(%(channels)b::text[], %(payloads)b::text[]) as news(channel, payload)
