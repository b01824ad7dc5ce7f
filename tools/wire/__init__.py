"""The wire between clients and servers, for tools and tests: raw clients, and lines that are slow or break."""
