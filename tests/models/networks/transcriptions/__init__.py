"""Networks written a second time, from the papers and the official code alone, to compare ours with.

Whoever writes one has not seen ours. Keys of the state_dict and arguments are the official ones; images come and go
in the official range.
"""
