"""The store in SQL: the ports of `domain.stores` on SQLite and on PostgreSQL, with one set of statements."""
