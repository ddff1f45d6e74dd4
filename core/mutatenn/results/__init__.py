"""What a campaign came to: its database, its judge, and the run directory as users see it."""
