"""Search: its page, the page of one post, exports, and the same as a REST API."""
