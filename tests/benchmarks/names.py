"""Who takes part; a module of its own, since the others import Django's settings."""

OURS, DATABASE, PERSISTENT = "DueScheduler", "DatabaseScheduler", "PersistentScheduler"
CONTESTANTS = (OURS, DATABASE, PERSISTENT)
