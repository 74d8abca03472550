"""What the verbs of the command line do; cli.py says what they are called."""
