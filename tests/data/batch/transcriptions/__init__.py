"""Published degradations written a second time, from the papers and the official code alone, to compare ours with.

Whoever writes one has not seen ours.
"""
