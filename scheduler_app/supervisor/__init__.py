"""Starts, watches and stops the services of one data folder.

Knows neither Django nor Celery: services are programs with a name, an environment and a question that tells
whether they are ready. Resident memory stays under 30 MB.
"""
