"""Images of tweets, from URLs that strangers chose: checked, fetched, decoded, each step with a limit."""
