"""The meaning of bytes, sans-I/O: fed and asked, with no socket and no clock inside."""
