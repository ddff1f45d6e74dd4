"""The built-in executors: schedulers of attempts, for two kinds of device."""
