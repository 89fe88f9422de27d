"""What the outside connects to, one module per API: authenticate, decode, call, encode."""
