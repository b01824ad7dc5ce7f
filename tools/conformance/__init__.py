"""The conformance suite: every row of the wire contract, tried on a server. It shares no code with the server."""
