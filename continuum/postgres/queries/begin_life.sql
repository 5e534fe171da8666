-- Take the next epoch, and name this instance of this database. Locks: the sequence. Index: none.
-- When the schema was made tells apart what has one name in two databases, and a copy keeps it.
select
    nextval('continuum_epoch_seq'),
    left(
        md5(
            current_schema() || ' '
            || (select extract(epoch from applied_at)::text from continuum_migrations order by version limit 1)
        ),
        16
    )
