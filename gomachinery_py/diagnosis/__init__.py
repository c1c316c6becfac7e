"""What Go workers and ours do with a message, why, and what to write instead; pure: bytes in, findings out.

``document`` reads a message and keeps how it was written, ``decoding`` is what Go says when it cannot read it,
``arguments`` what it says of the arguments, ``verdict`` puts these together, ``lint`` (with ``spelling``, ``foreign``,
``values``, ``places``) finds what is suspicious though Go takes it, ``difference`` compares two messages.
"""
