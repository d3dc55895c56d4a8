"""A page of scores and images that opens by a double click: no server, no network, no framework.

`ReportWriter` takes images while they are made and writes the folder at once when all is scored:
`staging` holds it back until it is complete, `crops` chooses what is shown, `page` and `tables`
render, `assets` runs in the browser.
"""

from srtoolbox.apps.report.contents import NetworkEntry, RunFacts, protocol_of
from srtoolbox.apps.report.writer import DEFAULT_IMAGES, ReportWriter

__all__ = ["DEFAULT_IMAGES", "NetworkEntry", "ReportWriter", "RunFacts", "protocol_of"]
