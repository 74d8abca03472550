"""How the reasons begin that a run has while the broker does not take its message."""

NACKED = "the broker refused the message; it is sent again"
UNDELIVERED = "cannot be delivered: "
