"""What any part of the engine may need of its process: tasks, threads, locks, events, raw sockets."""
