"""VIPs told to routers: the announcer, its keeper, and engines behind a router."""
