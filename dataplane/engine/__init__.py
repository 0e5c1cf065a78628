"""The service engine: joins plan, health, network and driver."""
