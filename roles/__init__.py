"""The roles that a process may run. They meet through rpc and bus, never by import."""
