-- Purpose. Epochs of nodes: each life of a node's group process takes the next, so that the later of two lives under
-- one name is known everywhere without a clock. Code of before does not look at it.
create sequence continuum_epoch_seq;
