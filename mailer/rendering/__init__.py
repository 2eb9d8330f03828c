"""How it looks: HTML and text made once an edition, and the bytes that each reader's tokens are spliced into."""
