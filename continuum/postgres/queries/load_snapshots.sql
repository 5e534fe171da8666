-- Read the snapshots of runs. Locks: none. Index: primary key.
select run_id, upto_seq, format, version_hash, data
from continuum_snapshots
where run_id = any(%(runs)b::uuid[])
