"""Reads an image as words: tags, a caption and recognised text.

They are the visual context of ITA (Wang et al., 2022).
"""
