"""Worker processes: what runs in them, and how the router starts, feeds, watches and replaces them."""
