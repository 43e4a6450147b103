"""The durable store in SQL, through SQLAlchemy Core. SQLite for now; PostgreSQL comes beside it."""
