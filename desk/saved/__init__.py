"""Saved searches, their live tail, and webhooks for posts that match."""
