"""The REST API, `/api/v1`: what the admin does, for programs."""
