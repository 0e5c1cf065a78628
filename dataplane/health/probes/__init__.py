"""ProbeFactory: one run of a monitor, on the path of the data; a module a type, and they run by callbacks."""
