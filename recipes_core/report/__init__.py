"""A run as one page that can be sent: what was done, with which numbers, how it looks, and how to do it again."""
