"""The init program: topics, tables, roles and rights, once per environment."""
