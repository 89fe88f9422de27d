"""What the stand-in keeps besides events. A change and its event are committed together."""
