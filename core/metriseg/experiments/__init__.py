"""What the library's own results come from."""
