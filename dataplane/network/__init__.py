"""The host's network as the kernel tells it: links, addresses, routes, neighbours, and the routes of probes."""
