"""Images of tweets, from URLs that strangers chose: checked, fetched, decoded, each step with a limit."""

from streams.images.decode import Picture, decode
from streams.images.errors import ImageError
from streams.images.loader import ImageLoader

__all__ = ["ImageError", "ImageLoader", "Picture", "decode"]
