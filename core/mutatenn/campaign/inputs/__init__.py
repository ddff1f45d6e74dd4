"""What a campaign works on: the model, and the images as it takes them."""
