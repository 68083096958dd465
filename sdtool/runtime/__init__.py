"""How a command runs: its options and configuration, engines, ranks, devices, progress."""
