"""A laboratory of network namespaces: client, service engine and servers on one layer-2 segment."""
