"""Reads an image as words: tags, a caption and recognised text.

These words are the visual context of ITA (Wang et al., NAACL 2022).
"""
