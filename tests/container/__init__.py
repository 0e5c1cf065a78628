"""The engine in a container's network: veths without NAPI, bridges, senders that leave work to their cards."""
