"""The inspection page: a local server, its store of votes, and what it sends to the browser."""
