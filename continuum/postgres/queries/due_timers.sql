-- Say how long each of these timers has to wait, and make due the runs that nobody owns. Locks: due runs without owner, by depth and id. Index: primary keys.
with asked as materialized (
    select
        asked.run_id,
        asked.seq,
        extract(epoch from timer.fires_at - now())::float8 as in_s,
        run.lease_owner is null as ownerless,
        owner.owner
    from unnest(%(runs)b::uuid[], %(seqs)b::bigint[]) as asked(run_id, seq)
    cross join lateral (
        select seq, fires_at
        from continuum_timers
        where run_id = asked.run_id and seq >= asked.seq
        order by run_id, seq
        limit 1
    ) as timer
    join continuum_runs as run on run.id = asked.run_id and run.state in ('running', 'suspended')
    left join continuum_owners as owner on owner.owner = run.lease_owner and owner.expires_at > now()
    where timer.seq = asked.seq
),
locked as materialized (
    select run.id
    from continuum_runs as run
    where run.id = any(array(select run_id from asked where in_s <= 0 and ownerless))
      and run.state in ('running', 'suspended')
      and run.lease_owner is null
      and (run.due_at is null or run.due_at > now())
    order by run.depth, run.id
    for no key update of run
),
woken as (
    update continuum_runs as run
    set due_at = now()
    from locked
    where run.id = locked.id
)
select run_id, seq, in_s, owner from asked
