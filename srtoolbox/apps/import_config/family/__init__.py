"""Option files of BasicSR and its descendants: `network_g`, `datasets`, `path`, `train`, `val`, `logger`."""
