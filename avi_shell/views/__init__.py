"""What `show` tells beyond the configuration: the engines' live state, diagnosis, commands for servers."""
