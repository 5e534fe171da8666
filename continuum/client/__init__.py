"""Clients: what starts runs and speaks with them from any process, with nothing but a database URL (API §3).

requests, pages, rows   pure: what users pass and read  ↔  what the catalog takes and gives
link                    the connections: opened late, few, patient with an outage
operations              what is asked of the database, repeated where that is safe
waiting                 the ends of runs: one listener and one look per second for all who wait
blocking, asynchronous  the clients;  handle: a run in somebody's hand;  default: the module-level functions
"""

from continuum.client.asynchronous import AsyncClient
from continuum.client.blocking import Client
from continuum.client.handle import AsyncRunHandle, RunHandle
from continuum.client.pages import Page

__all__ = ["AsyncClient", "AsyncRunHandle", "Client", "Page", "RunHandle"]
