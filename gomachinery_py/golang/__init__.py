"""Go's own library, as far as the wire needs it; nothing here has heard of Machinery."""
