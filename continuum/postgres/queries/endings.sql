-- Say where these runs stand, and whether they were continued, without outcomes of more than bytes_max. Locks: none. Index: primary key.
select
    id,
    state,
    case when octet_length(result) <= %(bytes_max)b::bigint then result end,
    case when octet_length(error) <= %(bytes_max)b::bigint then error end,
    continued_to_run_id is not null,
    octet_length(coalesce(result, error)) > %(bytes_max)b::bigint
from continuum_runs
where id = any(%(runs)b::uuid[])
