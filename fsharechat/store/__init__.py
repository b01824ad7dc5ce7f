"""The truth, in SQL: one abstract Store, an engine for each kind of url, one module a subject."""
