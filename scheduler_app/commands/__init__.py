"""What the verbs of the command line do; `verbs` says what they are called."""
