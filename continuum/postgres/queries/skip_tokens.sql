-- Skip the tokens that a crash of the database may have forgotten. Locks: an advisory one against its like. Index: none.
-- Claims are committed asynchronously: a crash can lose the last ones together with the sequence's position, and
-- the same tokens would be given out again while the engines that got them still live. Every connection that claims
-- begins with this, and none survives a crash. Synchronous: the skip itself must not be lost.
select setval('continuum_lease_token_seq', nextval('continuum_lease_token_seq') + 1000000)
from (select pg_advisory_xact_lock(hashtext(current_schema() || '_lease_token'))) as alone
