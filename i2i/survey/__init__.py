"""What a data set consists of: its layout, sizes, likenesses and mistakes, and a split of it."""
