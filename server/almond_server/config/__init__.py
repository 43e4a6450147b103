"""The operator's configuration: settings, listen addresses, and the URL of Redis."""
