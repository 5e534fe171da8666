-- Purpose. Versions of workflows: what code an owner has, and runs that wait for code which their node has not.
-- Code of before runs on it: it leaves the new columns alone, and claims by due_at only.

-- Each entry is <workflow>@<version_hash>, or <workflow>@ for a run that has no version yet.
alter table continuum_owners add column loaded text[] not null default '{}';

-- Set together, by whoever gave the run back for want of its code, and cleared by the next claim.
alter table continuum_runs add column parked_for text, add column parked_until timestamptz;

create index continuum_runs_parked on continuum_runs (parked_for) where parked_for is not null;
