-- Purpose. A channel that only those know who may read this table: what a run returned may be said there. Anybody who can
-- connect to the database may listen to a channel, but nobody can list those of others. Code of before does not look at it.
create table continuum_channels (
    name text primary key,
    channel text not null
);
insert into continuum_channels (name, channel)
values ('outcomes', 'continuum_' || replace(gen_random_uuid()::text, '-', ''));
