"""The theory as executable statements."""
