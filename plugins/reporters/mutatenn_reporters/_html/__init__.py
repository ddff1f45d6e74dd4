"""What the html reporter writes."""
