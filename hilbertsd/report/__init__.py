"""What a person reads of a chain, of the theory's verdicts on it, and of what was proved."""
