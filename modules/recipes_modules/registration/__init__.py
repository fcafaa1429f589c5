"""Registration of chunks of localizations with one another: iterative closest point and cross-correlation."""
