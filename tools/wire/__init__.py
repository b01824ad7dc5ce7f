"""The wire protocol from the side of clients, for tools and tests: codecs, raw clients, slow and broken lines.

The codecs are made from `contract.md` and share no code with the server. So a mistake of the server is not repeated
here.
"""
