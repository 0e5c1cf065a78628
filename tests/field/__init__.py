"""Networks as they are in the field: containers, bridges, senders that leave work to their cards."""
