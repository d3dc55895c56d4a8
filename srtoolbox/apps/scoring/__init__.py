"""Networks scored on test sets."""
