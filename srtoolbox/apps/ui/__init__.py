"""A page for upscaling in the browser, served by this machine.

`store` keeps what is uploaded under names of its own, `weights` describes networks, `queue` upscales one job at a time
through the same functions as the commands, `requests` answers the page, `server` listens.
"""
