-- Read the results that are kept under these names. Locks: none. Index: primary key.
select result.activity, result.key, result.payload
from unnest(%(activities)b::text[], %(keys)b::text[]) as wanted(activity, key)
join continuum_activity_results as result on result.activity = wanted.activity and result.key = wanted.key
