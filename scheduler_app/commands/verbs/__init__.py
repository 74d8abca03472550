"""What the verbs are called and take: click alone. Each imports what it needs when it is called."""
