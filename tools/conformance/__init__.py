"""The conformance suite: every row of the wire contract, tried against a server whose code it does not share."""
