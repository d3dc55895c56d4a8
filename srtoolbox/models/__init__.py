"""Networks and the restorers that train them."""
