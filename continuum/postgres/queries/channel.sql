-- Say on which channel the outcomes of runs are told. Locks: none. Index: primary key.
select channel
from continuum_channels
where name = 'outcomes'
