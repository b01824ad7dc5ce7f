"""The store, in SQL: one abstract Store, an engine for each kind of url, and a module for each subject."""
