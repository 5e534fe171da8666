-- Skip the tokens of leases and the ids of signals that a crash of the database may have forgotten. Locks: an advisory one against its like. Index: none.
-- Claims and requests are committed asynchronously: a crash can lose the last ones together with the sequences' positions,
-- and the same numbers would be given out again while engines that heard of them still live. Every connection that claims,
-- starts or signals begins with this, and none survives a crash. Synchronous: the skip itself must not be lost.
select
    setval('continuum_lease_token_seq', nextval('continuum_lease_token_seq') + 1000000),
    setval('continuum_signals_id_seq', nextval('continuum_signals_id_seq') + 1000000)
from (select pg_advisory_xact_lock(hashtext(current_schema() || '_lease_token'))) as alone
