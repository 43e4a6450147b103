"""The operator's commands: `almond init`, `migrate`, `serve`, `dev`, `store` and `audit`, and their work."""
