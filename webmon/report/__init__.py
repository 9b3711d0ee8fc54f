"""What people ask of the store; it only reads."""
