"""`fsharechat admin`: the administration from a terminal, over the server's HTTP."""
