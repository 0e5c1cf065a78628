"""A laboratory of network namespaces: client, service engine and servers."""
