"""Schedules of other programs, one module a program: text in, documents out; no database, no clock."""
