"""From the original to this server: its settings (`fsharechat import-config`) and its data (`import-data`)."""
