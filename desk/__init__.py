"""The desk: a web application to search entities, to settle what the model is unsure of, and to watch the stream."""
