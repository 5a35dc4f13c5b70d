"""The overview: how the stream, the queue and the promise are doing."""
