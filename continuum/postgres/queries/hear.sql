-- Note where a live owner listens, and how much room it has; say so. Locks: the owner's row. Index: primary key.
update continuum_owners
set channel = nullif(%(channel)b::text, ''),
    host = %(host)b::text,
    room = %(room)b::integer
where owner = %(owner)b::text
  and expires_at > now()
returning true, set_config('synchronous_commit', 'off', true)
