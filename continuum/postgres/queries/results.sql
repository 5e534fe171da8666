-- Read the results that are kept under these names, without those of more than bytes_max. Locks: none. Index: primary key.
select
    result.activity,
    result.key,
    case when octet_length(result.payload) <= %(bytes_max)b::bigint then result.payload end
from unnest(%(activities)b::text[], %(keys)b::text[]) as wanted(activity, key)
join continuum_activity_results as result on result.activity = wanted.activity and result.key = wanted.key
