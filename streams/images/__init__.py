"""Loads the images of posts from URLs that strangers chose. Each step is checked and limited."""
