"""BGP: VIPs told to routers by a BIRD of the engine's own, which a keeper holds."""
