-- List where the groups of live nodes are reached, the last to be renewed first. Locks: none. Index: none, the table is small.
select node, address
from continuum_owners
where address <> ''
  and split_part(owner, '/', 3) = 'group'
  and expires_at > now()
order by expires_at desc
limit %(limit)b::bigint
