-- Purpose. Engines that hear by themselves what comes for them: a signal wakes one process instead of three, and a run that
-- is started on the engine's own host is leased to it as it is inserted, without a claim.
-- Code of before leaves the columns null, is told by the channels of before, and claims what is inserted without a lease.

-- channel: where the owner listens; a name that only those know who may read this table, so what is told there may be
-- values. host: on which machine (and in which network of it) it runs. room: 0 if it wants no runs, else the larger the freer.
alter table continuum_owners
    add column channel text,
    add column host text,
    add column room integer not null default 0;
create index continuum_owners_room on continuum_owners (host, room desc, owner) where room > 0;

-- Say whether a run has a signal of this name that came before this one and is unread. Volatile, so that it looks when it is
-- called: after its caller has waited for the run's lock, and with what was committed until then.
create function continuum_unread_before(uuid, text, bigint) returns boolean language plpgsql volatile as $$
begin
    return exists (
        select from continuum_signals
        where run_id = $1 and name = $2 and id < $3 and not consumed
    );
end $$;
