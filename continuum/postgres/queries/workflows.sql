-- List the workflows that some node has registered. Locks: none. Index: primary key.
select distinct workflow from continuum_workflow_versions order by workflow
