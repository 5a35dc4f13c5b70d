"""The review in a browser: one post at a time, one key a decision."""
