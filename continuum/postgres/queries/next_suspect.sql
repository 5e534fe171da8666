-- Say when one of these owners can resume a suspect, in seconds. Locks: none. Index: continuum_runs_parked.
select extract(epoch from min(
    case
        when exists (
            select 1
            from continuum_owners as able
            where able.owner = any(%(owners)b::text[])
              and run.workflow || '@' || coalesce(run.version_hash, '') = any(able.loaded)
        ) then run.alone_at
        else run.alone_at + interval '1 minute'
    end
) - now())::float8
from continuum_runs as run
where run.parked_for = '!alone'
  and run.lease_owner is null
  and run.state in ('running', 'suspended')
