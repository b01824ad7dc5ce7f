"""The media role: group calls without any other server. Encoded media are forwarded, never decoded."""
