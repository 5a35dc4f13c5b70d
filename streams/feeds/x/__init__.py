"""The live feed of X: the filtered stream of API v2, with the recent search for what a broken connection missed."""
