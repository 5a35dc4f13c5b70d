"""What an image says, in words: tags, a caption, the text in it. The visual context of ITA (Wang et al., 2022)."""
