"""A laboratory of network namespaces: client, service engines and servers, a router, members of etcd."""
