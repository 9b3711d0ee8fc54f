"""The doctor: looks over one component of a host and says what is not as it should be, and what to do."""
