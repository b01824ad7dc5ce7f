"""The wire as clients speak it, for tools and tests: codecs, raw clients, and lines that are slow or break.

The codecs are made from `contract.md` and share no code with the server, so that a mistake of the server's
is none here.
"""
