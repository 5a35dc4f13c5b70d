"""The pages of names, and their REST API."""
