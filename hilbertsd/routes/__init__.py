"""Ways to answer the recurrence's questions about a Gram matrix."""
