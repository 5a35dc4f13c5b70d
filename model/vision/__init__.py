"""Reads an image as words: tags, a caption and recognised text. This is the visual context of ITA (Wang et al., 2022)."""
