"""Remote processors: sessions, devices and the code they load."""
